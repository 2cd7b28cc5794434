"""Members: nobody reaches above their own role, and an organization keeps an owner, however many change it at once."""

import asyncio

import httpx
import pytest
from sqlalchemy import func, select, text

from core.identity.models import Membership
from core.identity.people import lock_organization
from core.permissions import Role
from core.testing.tenants import PASSWORD, Tenant, make_member
from core.testing.waiting import until

MEMBERS = "/api/v1/members"
ME = "/api/v1/users/me"


def url(member: Tenant) -> str:
    return f"{MEMBERS}/{member.user_id}"


async def role_of(member: Tenant) -> tuple[str, bool] | None:
    async with member.database.system() as system:
        found = (
            await system.execute(
                select(Membership.role, Membership.is_active).where(
                    Membership.organization_id == member.organization_id, Membership.user_id == member.user_id
                )
            )
        ).one_or_none()
    return None if found is None else (found[0], found[1])


async def active_owners(tenant: Tenant) -> int:
    async with tenant.database.system() as system:
        owners = await system.scalar(
            select(func.count()).where(
                Membership.organization_id == tenant.organization_id,
                Membership.role == Role.OWNER.value,
                Membership.is_active,
            )
        )
    return owners or 0


async def change(by: Tenant, member: Tenant, **values: object) -> httpx.Response:
    return await by.client.patch(url(member), json=values)


async def test_the_members_are_listed_page_by_page(acme: Tenant, globex: Tenant) -> None:
    members = {acme.email, *[(await make_member(acme, role)).email for role in (Role.ADMIN, Role.VIEWER)]}

    first = (await acme.client.get(MEMBERS, params={"limit": 2, "sort": "email"})).json()
    second = (
        await acme.client.get(MEMBERS, params={"limit": 2, "sort": "email", "cursor": first["next_cursor"]})
    ).json()

    assert [each["email"] for each in (*first["items"], *second["items"])] == sorted(members)
    assert globex.email not in str([first, second])


async def test_members_are_filtered_by_role(acme: Tenant) -> None:
    viewer = await make_member(acme, Role.VIEWER)

    answer = await acme.client.get(MEMBERS, params={"role": "viewer"})

    assert [each["user_id"] for each in answer.json()["items"]] == [str(viewer.user_id)]


async def test_a_changed_role_counts_with_the_next_request(acme: Tenant) -> None:
    viewer = await make_member(acme, Role.VIEWER)
    team = {"name": "Sales"}
    assert (await viewer.client.post("/api/v1/teams", json=team)).status_code == 403

    answer = await change(acme, viewer, role="manager")

    assert (answer.status_code, answer.json()["role"]) == (200, "manager")
    assert (await viewer.client.post("/api/v1/teams", json=team)).status_code == 201


async def test_a_stale_change_is_refused(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)
    tag = (await acme.client.get(url(member))).headers["etag"]
    assert (await change(acme, member, role="viewer")).status_code == 200

    answer = await acme.client.patch(url(member), json={"role": "admin"}, headers={"if-match": tag})

    assert answer.status_code == 412
    assert await role_of(member) == ("viewer", True)


async def test_a_deactivated_member_is_out_with_the_next_request_and_back_when_reactivated(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)

    assert (await change(acme, member, is_active=False)).status_code == 200
    assert (await member.client.get(ME)).status_code == 401
    assert (await change(acme, member, is_active=True)).status_code == 200

    assert (await member.client.get(ME)).status_code == 200


async def test_a_removed_member_is_out_and_their_teams_and_grants_are_gone(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)
    team = (await acme.client.post("/api/v1/teams", json={"name": "Sales"})).json()["id"]
    await acme.client.put(f"/api/v1/teams/{team}/members/{member.user_id}")

    assert (await acme.client.delete(url(member))).status_code == 204

    assert (await member.client.get(ME)).status_code == 401
    assert (await acme.client.get(url(member))).status_code == 404
    assert (await acme.client.get(f"/api/v1/teams/{team}/members")).json()["items"] == []


@pytest.mark.parametrize("by", [Role.MANAGER, Role.MEMBER, Role.VIEWER])
async def test_only_admins_and_owners_change_members(acme: Tenant, by: Role) -> None:
    actor, member = await make_member(acme, by), await make_member(acme, Role.VIEWER)

    answers = [await change(actor, member, role="member"), await actor.client.delete(url(member))]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert await role_of(member) == ("viewer", True)


async def test_an_admin_can_not_touch_an_owner(acme: Tenant) -> None:
    admin, other_owner = await make_member(acme, Role.ADMIN), await make_member(acme, Role.OWNER)

    answers = [
        await change(admin, other_owner, role="viewer"),
        await change(admin, other_owner, is_active=False),
        await admin.client.delete(url(other_owner)),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "beyond-own-role")}
    assert await role_of(other_owner) == ("owner", True)


@pytest.mark.parametrize("whom", ["themselves", "another"])
async def test_nobody_lifts_anybody_above_their_own_role(acme: Tenant, whom: str) -> None:
    admin = await make_member(acme, Role.ADMIN)
    member = admin if whom == "themselves" else await make_member(acme, Role.MEMBER)

    answer = await change(admin, member, role="owner")

    assert (answer.status_code, answer.json()["code"]) == (403, "beyond-own-role")


async def test_the_last_owner_stays(acme: Tenant) -> None:
    gone = await make_member(acme, Role.OWNER)
    assert (await change(acme, gone, is_active=False)).status_code == 200

    answers = [
        await change(acme, acme, role="admin"),
        await change(acme, acme, is_active=False),
        await acme.client.delete(url(acme)),
        await acme.client.post("/api/v1/organizations/current/leave"),
        await acme.client.post(f"{ME}/deactivate", json={"password": PASSWORD}),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "last-owner")] * 5
    assert await role_of(acme) == ("owner", True)


async def test_an_owner_whose_account_is_deactivated_does_not_count(acme: Tenant) -> None:
    other = await make_member(acme, Role.OWNER)
    assert (await other.client.post(f"{ME}/deactivate", json={"password": PASSWORD})).status_code == 204

    answer = await change(acme, acme, role="admin")

    assert (answer.status_code, answer.json()["code"]) == (409, "last-owner")


async def test_two_owners_who_demote_each_other_twenty_times_at_once_leave_one(acme: Tenant) -> None:
    other = await make_member(acme, Role.OWNER)
    pairs = [(acme, other), (other, acme)] * 10

    answers = await asyncio.gather(*(change(by, whom, role="admin") for by, whom in pairs))

    assert await active_owners(acme) == 1
    assert {answer.status_code for answer in answers} <= {200, 403, 409}


async def test_two_owners_who_leave_in_every_way_at_once_leave_one(acme: Tenant) -> None:
    other = await make_member(acme, Role.OWNER)
    ways = [
        *(owner.client.post("/api/v1/organizations/current/leave") for owner in (acme, other)),
        *(owner.client.delete(url(owner)) for owner in (acme, other)),
        *(change(owner, owner, is_active=False) for owner in (acme, other)),
        *(owner.client.post(f"{ME}/deactivate", json={"password": PASSWORD}) for owner in (acme, other)),
    ]

    answers = await asyncio.gather(*ways)

    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []
    still_in = [(await owner.client.get(ME)).status_code for owner in (acme, other)]
    assert sorted(still_in) == [200, 401]


async def test_two_owners_who_deactivate_their_accounts_at_once_leave_one(acme: Tenant) -> None:
    """Both are held up at the organization until both are there."""
    owners = [acme, await make_member(acme, Role.OWNER)]

    async def both_wait() -> bool:
        async with acme.database.system() as system:
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')")
            return (await system.scalar(waiting) or 0) >= len(owners)

    async with acme.database.system() as system:
        await lock_organization(system, acme.organization_id)
        leaving = [
            asyncio.create_task(owner.client.post(f"{ME}/deactivate", json={"password": PASSWORD})) for owner in owners
        ]
        await until(both_wait, within=10)
    answers = await asyncio.gather(*leaving)

    assert sorted(answer.status_code for answer in answers) == [204, 409]


async def test_deactivating_an_account_takes_the_password(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)

    wrong = await member.client.post(f"{ME}/deactivate", json={"password": "not the password"})
    right = await member.client.post(f"{ME}/deactivate", json={"password": PASSWORD})

    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong-password")
    assert right.status_code == 204
    assert (await member.client.get(ME)).status_code == 401


async def test_a_member_leaves(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)

    assert (await member.client.post("/api/v1/organizations/current/leave")).status_code == 204

    assert await role_of(member) is None
