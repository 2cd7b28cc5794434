"""Operators in somebody's place: for a while, seen by everybody, and with no way to stay."""

import re
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import text, update

from core import clock
from core.app import Application
from core.cli.permissions import access_to_routes
from core.identity.impersonation import WITHHELD
from core.identity.models import Membership, Organization, User
from core.identity.operators import withdraw_operator
from core.ids import new_id
from core.permissions import Role
from core.testing.tenants import Tenant, client_of, make_member, make_operator
from tests.admin.conftest import IMPERSONATIONS, ask, impersonate, suspend

ME, CONTACTS = "/api/v1/users/me", "/api/v1/networking/contacts"
BY = "impersonated-by"


async def test_an_operator_sees_what_the_person_sees(operator: Tenant, acme: Tenant) -> None:
    await acme.client.post(CONTACTS, json={"first_name": "Ada"})
    client, told = await impersonate(operator, acme)

    me, contacts = await client.get(ME), await client.get(CONTACTS)

    assert (me.json()["id"], me.json()["organization"]["slug"]) == (str(acme.user_id), acme.slug)
    assert [contact["first_name"] for contact in contacts.json()["items"]] == ["Ada"]
    assert (told["operator_id"], told["reason"], told["writes"]) == (str(operator.user_id), "Ticket 4711", False)


async def test_every_answer_says_who_it_is_that_asks(operator: Tenant, acme: Tenant) -> None:
    client, _ = await impersonate(operator, acme)

    answers = [
        await client.get(ME),
        await client.get(f"{CONTACTS}/{new_id()}"),
        await client.get(CONTACTS, params={"zzz": 1}),
        await client.post(CONTACTS, json={"first_name": "Ada"}),
        await client.get("/api/v1/auth/sessions"),
    ]

    assert [answer.status_code for answer in answers] == [200, 404, 422, 403, 403]
    assert {answer.headers.get(BY) for answer in answers} == {str(operator.user_id)}
    assert BY not in (await acme.client.get(ME)).headers


async def test_looking_changes_nothing_on_any_route(application: Application, operator: Tenant, acme: Tenant) -> None:
    client, _ = await impersonate(operator, acme)

    for access in access_to_routes(application.litestar):
        method, path = access.route.split(" ")
        if method == "GET" or access.needs == "nobody signed in":
            continue
        answer = await client.request(method, re.sub(r"{\w+:\w+}", lambda _: str(new_id()), path), json={})

        assert (answer.status_code, answer.json()["code"]) == (403, "impersonation-read-only"), access.route


async def test_whoever_may_write_writes_and_is_named_in_the_trail(operator: Tenant, acme: Tenant) -> None:
    await make_operator(operator, writing=True)
    client, _ = await impersonate(operator, acme, writes=True)

    made = await client.post(CONTACTS, json={"first_name": "Ada"})

    trail = await acme.client.get("/api/v1/audit", params={"record_id": made.json()["id"]})
    (entry,) = trail.json()["items"]
    assert made.status_code == 201
    assert (entry["user_id"], entry["impersonator_id"]) == (str(acme.user_id), str(operator.user_id))


async def test_writing_needs_a_grant_of_its_own(operator: Tenant, acme: Tenant) -> None:
    wanted = {"user_id": str(acme.user_id), "organization_id": str(acme.organization_id), "reason": "x", "writes": True}

    refused = await ask(operator, "POST", IMPERSONATIONS, status=403, json=wanted)

    assert refused["code"] == "operator-needed"


async def test_nothing_of_the_persons_own_account_is_in_reach(
    application: Application, operator: Tenant, acme: Tenant
) -> None:
    """Of all that everybody may do with their own account, only to see who they are."""
    await make_operator(operator, writing=True)
    client, _ = await impersonate(operator, acme, writes=True)
    answers = {}
    for access in access_to_routes(application.litestar):
        if access.needs == "a person who signed in":
            method, path = access.route.split(" ")
            url = re.sub(r"{\w+:\w+}", lambda _: str(new_id()), path)
            answer = await client.request(method, url, json={} if method in {"POST", "PATCH", "PUT"} else None)
            answers[access.route] = (answer.status_code, answer.json().get("code"))

    assert [answers.pop(f"GET {path}") for path in (ME, f"{ME}/profile")] == [(200, None), (200, None)]
    assert len(answers) > 10
    assert set(answers.values()) == {(403, "not-in-their-place")}


async def test_nothing_that_would_outlast_it_is_allowed(
    application: Application, operator: Tenant, acme: Tenant
) -> None:
    await make_operator(operator, writing=True)
    client, _ = await impersonate(operator, acme, writes=True)
    asked = 0
    for access in access_to_routes(application.litestar):
        if access.needs.split("`")[1:2] and access.needs.split("`")[1] in WITHHELD:
            method, path = access.route.split(" ")
            url = re.sub(r"{\w+:\w+}", lambda _: str(new_id()), path)
            answer = await client.request(method, url, json={} if method != "GET" else None)
            asked += 1

            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), access.route
    assert asked > 10


async def end_session(operator: Tenant, _: Tenant, __: str) -> None:
    await operator.client.post("/api/v1/auth/logout")


async def end_it(operator: Tenant, _: Tenant, impersonation: str) -> None:
    await ask(operator, "DELETE", f"{IMPERSONATIONS}/{impersonation}", status=204)


async def withdraw(operator: Tenant, _: Tenant, __: str) -> None:
    await withdraw_operator(operator.database, operator.email)
    await operator.catch_up()


async def disable_operator(operator: Tenant, _: Tenant, __: str) -> None:
    async with operator.system() as system:
        await system.execute(update(User).where(User.id == operator.user_id).values(is_active=False))


async def disable_person(operator: Tenant, acme: Tenant, _: str) -> None:
    async with operator.system() as system:
        await system.execute(update(User).where(User.id == acme.user_id).values(is_active=False))


async def remove_member(operator: Tenant, acme: Tenant, _: str) -> None:
    async with operator.system() as system:
        await system.execute(update(Membership).where(Membership.user_id == acme.user_id).values(is_active=False))


async def delete_organization(operator: Tenant, acme: Tenant, _: str) -> None:
    async with operator.system() as system:
        mine = Organization.id == acme.organization_id
        await system.execute(update(Organization).where(mine).values(is_deleted=True))


ENDINGS = [end_session, end_it, withdraw, disable_operator, disable_person, remove_member, delete_organization]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
async def test_it_ends_with_the_next_request(operator: Tenant, acme: Tenant, ending: object) -> None:
    client, told = await impersonate(operator, acme)
    before = await client.get(ME)

    await ending(operator, acme, told["id"])  # type: ignore[operator]

    assert before.status_code == 200
    assert (await client.get(ME)).status_code == 401


async def test_it_ends_by_itself(operator: Tenant, acme: Tenant) -> None:
    client, told = await impersonate(operator, acme, minutes=10)

    with time_machine.travel(clock.now() + timedelta(minutes=9), tick=True):
        during = await client.get(ME)
    with time_machine.travel(clock.now() + timedelta(minutes=10, seconds=1), tick=True):
        after = await client.get(ME)

    assert (during.status_code, after.status_code) == (200, 401)
    assert told["ended_at"] is None


@pytest.mark.parametrize("minutes", [0, 61, -1])
async def test_it_lasts_an_hour_at_most(operator: Tenant, acme: Tenant, minutes: int) -> None:
    wanted = {"user_id": str(acme.user_id), "organization_id": str(acme.organization_id), "reason": "x"}

    answer = await operator.client.post(IMPERSONATIONS, json={**wanted, "minutes": minutes})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "minutes")


async def test_it_has_the_persons_role_as_of_now(operator: Tenant, acme: Tenant) -> None:
    member = await make_member(acme, Role.ADMIN)
    client, _ = await impersonate(operator, member)
    before = await client.get("/api/v1/invitations")

    await acme.client.patch(f"/api/v1/members/{member.user_id}", json={"role": "viewer"})

    assert (before.status_code, (await client.get("/api/v1/invitations")).status_code) == (200, 403)


async def test_whose_place_nobody_can_take(operator: Tenant, acme: Tenant, globex: Tenant) -> None:
    async def refused(person: Tenant, organization: Tenant) -> str:
        wanted = {"user_id": str(person.user_id), "organization_id": str(organization.organization_id), "reason": "x"}
        return (await operator.client.post(IMPERSONATIONS, json=wanted)).json()["code"]

    stranger, colleague, oneself = await refused(acme, globex), await make_operator(globex), operator

    assert stranger == "not-found"
    assert await refused(colleague, globex) == "is-operator"
    assert await refused(oneself, oneself) == "is-operator"
    await suspend(operator, acme)
    assert await refused(acme, acme) == "organization-suspended"


async def test_the_organization_reads_in_its_trail_who_looked_and_why(operator: Tenant, acme: Tenant) -> None:
    _, told = await impersonate(operator, acme)
    await end_it(operator, acme, told["id"])

    trail = await acme.client.get("/api/v1/audit", params={"table_name": "core.impersonations"})

    ended, begun = trail.json()["items"]
    assert (begun["action"], begun["new_values"]["reason"]) == ("create", "Ticket 4711")
    assert begun["user_id"] == ended["user_id"] == str(operator.user_id)
    assert ended["new_values"]["ended_at"] is not None


async def test_those_that_go_on_are_listed(operator: Tenant, acme: Tenant, globex: Tenant) -> None:
    _, ended = await impersonate(operator, acme)
    await end_it(operator, acme, ended["id"])
    _, living = await impersonate(operator, globex)
    params = {"operator_id": str(operator.user_id)}

    going_on = await ask(operator, "GET", IMPERSONATIONS, params=params | {"living": True})
    all_of_them = await ask(operator, "GET", IMPERSONATIONS, params=params)
    one = await ask(operator, "GET", f"{IMPERSONATIONS}/{living['id']}")

    assert [i["id"] for i in going_on["items"]] == [living["id"]]
    assert [i["id"] for i in all_of_them["items"]] == [living["id"], ended["id"]]
    assert one == living


async def test_the_token_names_both_of_them(operator: Tenant, acme: Tenant) -> None:
    import jwt

    wanted = {"user_id": str(acme.user_id), "organization_id": str(acme.organization_id), "reason": "x", "minutes": 5}
    made = await ask(operator, "POST", IMPERSONATIONS, status=201, json=wanted)

    claims = jwt.decode(made["access_token"], options={"verify_signature": False})

    assert (claims["sub"], claims["act"]) == (str(acme.user_id), {"sub": str(operator.user_id)})
    assert claims["exp"] - claims["iat"] <= made["expires_in"] == 300


async def test_no_token_of_it_is_kept(operator: Tenant, acme: Tenant) -> None:
    client, _ = await impersonate(operator, acme)
    token = client.headers["authorization"].removeprefix("Bearer ")

    async with operator.database.system() as system:
        found = await system.scalars(text("SELECT i::text FROM core.impersonations AS i"))
        stored = found.all()

    assert stored != []
    assert not [row for row in stored if token in row]
    assert (await client_of(operator.application, token=token).get(ME)).status_code == 200
