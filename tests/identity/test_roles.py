"""Roles: custom ones add to the system role, for everything or for one team, and nobody gives what they don't hold."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from core.permissions import Role, is_allowed
from core.principal import Principal, PrincipalKind
from core.testing.tenants import Tenant, make_member

ROLES, GRANTS, TEAMS = "/api/v1/roles", "/api/v1/grants", "/api/v1/teams"


async def new_role(by: Tenant, *permissions: str, **others: Any) -> httpx.Response:
    return await by.client.post(
        ROLES, json={"name": f"r-{uuid4().hex[:8]}", "permissions": list(permissions), **others}
    )


async def role_with(by: Tenant, *permissions: str) -> str:
    answer = await new_role(by, *permissions)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def grant(by: Tenant, member: Tenant, role: str, team: str | None = None) -> httpx.Response:
    return await by.client.post(GRANTS, json={"user_id": str(member.user_id), "role_id": role, "team_id": team})


async def new_team(by: Tenant) -> str:
    answer = await by.client.post(TEAMS, json={"name": f"t-{uuid4().hex[:8]}"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def may_write_teams(member: Tenant) -> bool:
    return (await member.client.post(TEAMS, json={"name": f"t-{uuid4().hex[:8]}"})).status_code == 201


async def may_write_team(member: Tenant, team: str) -> bool:
    return (await member.client.patch(f"{TEAMS}/{team}", json={"description": "ours"})).status_code == 200


async def test_a_granted_role_counts_with_the_next_request_and_so_does_its_end(acme: Tenant) -> None:
    viewer = await make_member(acme, Role.VIEWER)
    role = await role_with(acme, "teams:write")
    assert not await may_write_teams(viewer)

    granted = await grant(acme, viewer, role)

    assert granted.status_code == 201
    assert await may_write_teams(viewer)
    assert (await acme.client.delete(f"{GRANTS}/{granted.json()['id']}")).status_code == 204
    assert not await may_write_teams(viewer)


async def test_a_role_that_changes_changes_what_its_holders_may_do(acme: Tenant) -> None:
    viewer = await make_member(acme, Role.VIEWER)
    role = await role_with(acme, "teams:write")
    await grant(acme, viewer, role)

    await acme.client.patch(f"{ROLES}/{role}", json={"permissions": ["members:read"]})

    assert not await may_write_teams(viewer)


async def test_a_deleted_role_gives_nothing_and_gives_again_once_it_is_back(acme: Tenant) -> None:
    viewer = await make_member(acme, Role.VIEWER)
    role = await role_with(acme, "teams:write")
    await grant(acme, viewer, role)

    assert (await acme.client.delete(f"{ROLES}/{role}")).status_code == 204
    gone = await may_write_teams(viewer)
    assert (await acme.client.post(f"{ROLES}/{role}/restore")).status_code == 200

    assert (gone, await may_write_teams(viewer)) == (False, True)


async def test_a_role_granted_for_a_team_holds_for_that_team_alone(acme: Tenant) -> None:
    viewer = await make_member(acme, Role.VIEWER)
    ours, theirs = await new_team(acme), await new_team(acme)

    await grant(acme, viewer, await role_with(acme, "teams:write"), ours)

    assert await may_write_team(viewer, ours)
    assert not await may_write_team(viewer, theirs)
    assert not await may_write_teams(viewer)
    member = f"{TEAMS}/{ours}/members/{viewer.user_id}"
    assert (await viewer.client.put(member)).status_code == 204
    assert (await viewer.client.delete(member)).status_code == 204
    assert (await viewer.client.delete(f"{TEAMS}/{ours}")).status_code == 403


async def test_a_deleted_teams_grants_give_nothing(acme: Tenant) -> None:
    viewer = await make_member(acme, Role.VIEWER)
    team = await new_team(acme)
    await grant(acme, viewer, await role_with(acme, "teams:write"), team)

    await acme.client.delete(f"{TEAMS}/{team}")

    assert (await viewer.client.patch(f"{TEAMS}/{team}", json={})).status_code == 403


def test_one_function_decides() -> None:
    team, other = uuid4(), uuid4()
    holder = Principal(
        kind=PrincipalKind.USER,
        organization_id=uuid4(),
        permissions=frozenset({"a:read"}),
        team_permissions={team: frozenset({"a:write"})},
    )

    assert is_allowed(holder, "a:read")
    assert is_allowed(holder, "a:read", team_id=other)
    assert is_allowed(holder, "a:write", team_id=team)
    assert not is_allowed(holder, "a:write", team_id=other)
    assert not is_allowed(holder, "a:write")


@pytest.mark.parametrize("wanted", ["organization:delete", "there:is-none", "networking:nothing"])
async def test_nobody_makes_a_role_beyond_their_own(acme: Tenant, wanted: str) -> None:
    admin = await make_member(acme, Role.ADMIN)

    made = await new_role(admin, "teams:write", wanted)
    changed = await admin.client.patch(
        f"{ROLES}/{await role_with(admin, 'teams:write')}", json={"permissions": [wanted]}
    )

    assert {(answer.status_code, answer.json()["code"]) for answer in (made, changed)} == {(403, "beyond-own-role")}


async def test_nobody_grants_changes_or_withdraws_a_role_beyond_their_own(acme: Tenant) -> None:
    admin, viewer = await make_member(acme, Role.ADMIN), await make_member(acme, Role.VIEWER)
    role = await role_with(acme, "organization:delete")
    granted = (await grant(acme, viewer, role)).json()["id"]

    answers = [
        await grant(admin, admin, role),
        await admin.client.patch(f"{ROLES}/{role}", json={"permissions": []}),
        await admin.client.delete(f"{ROLES}/{role}"),
        await admin.client.delete(f"{GRANTS}/{granted}"),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "beyond-own-role")}


async def test_an_admin_does_not_change_what_an_owner_holds(acme: Tenant) -> None:
    admin = await make_member(acme, Role.ADMIN)

    answer = await grant(admin, acme, await role_with(admin, "teams:write"))

    assert (answer.status_code, answer.json()["code"]) == (403, "beyond-own-role")


async def test_twenty_grants_at_once_are_one(acme: Tenant) -> None:
    viewer, role = await make_member(acme, Role.VIEWER), await role_with(acme, "teams:write")

    answers = await asyncio.gather(*(grant(acme, viewer, role) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    listed = (await acme.client.get(GRANTS, params={"user_id": str(viewer.user_id)})).json()["items"]
    assert len(listed) == 1


@pytest.mark.parametrize("path", [ROLES, TEAMS])
async def test_a_name_is_taken_in_any_case_until_its_bearer_is_deleted(acme: Tenant, path: str) -> None:
    body = {"name": "Sales"} | ({"permissions": []} if path == ROLES else {})
    first = (await acme.client.post(path, json=body)).json()["id"]
    twice = await acme.client.post(path, json={**body, "name": "SALES"})
    await acme.client.delete(f"{path}/{first}")
    after = await acme.client.post(path, json=body)

    back = await acme.client.post(f"{path}/{first}/restore")

    assert (twice.status_code, after.status_code, back.status_code) == (409, 201, 409)


@pytest.mark.parametrize("path", [ROLES, TEAMS])
async def test_a_stale_change_of_it_is_refused(acme: Tenant, path: str) -> None:
    body = {"name": "Sales"} | ({"permissions": []} if path == ROLES else {})
    made = await acme.client.post(path, json=body)
    url, tag = f"{path}/{made.json()['id']}", {"if-match": made.headers["etag"]}
    assert (await acme.client.patch(url, json={"name": "Marketing"}, headers=tag)).status_code == 200

    answers = [
        await acme.client.patch(url, json={"name": "Support"}, headers=tag),
        await acme.client.delete(url, headers=tag),
    ]

    assert [answer.status_code for answer in answers] == [412, 412]
    assert (await acme.client.get(url)).json()["name"] == "Marketing"


async def test_only_a_member_of_the_organization_joins_its_teams_and_gets_its_roles(
    acme: Tenant, globex: Tenant
) -> None:
    team, role = await new_team(acme), await role_with(acme, "teams:write")

    joined = await acme.client.put(f"{TEAMS}/{team}/members/{globex.user_id}")
    granted = await grant(acme, globex, role)

    assert (joined.status_code, granted.status_code) == (404, 404)


async def test_every_declared_permission_is_told_with_its_roles(acme: Tenant) -> None:
    items = (await acme.client.get("/api/v1/permissions")).json()["items"]

    declared = acme.application.runtime.permissions
    assert [each["name"] for each in items] == sorted(permission.name for permission in declared)
    assert {each["name"]: each["roles"] for each in items}["organization:delete"] == ["owner"]
