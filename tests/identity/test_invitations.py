"""Invitations: for one address, into one role, once."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import time_machine
from letterbox import Letterbox
from sqlalchemy import func, select, update

from core import clock
from core.identity.models import Membership, Organization, User
from core.permissions import Role
from core.testing.tenants import PASSWORD, Tenant, client_of, make_member

INVITATIONS = "/api/v1/invitations"


def somebody() -> str:
    return f"i-{uuid4().hex[:12]}@example.com"


def details(token: str) -> dict[str, str]:
    return {"token": token, "password": PASSWORD, "first_name": "Ida", "last_name": "Invited"}


async def invite(by: Tenant, email: str, **others: Any) -> httpx.Response:
    return await by.client.post(INVITATIONS, json={"email": email, **others})


async def invited(letterbox: Letterbox, by: Tenant, email: str, **others: Any) -> tuple[str, str]:
    """The invitation's id and the token that was mailed."""
    answer = await invite(by, email, **others)
    assert answer.status_code == 201, answer.text
    await letterbox.deliver(by)
    return answer.json()["id"], letterbox.last_to(email).token


async def roles_in(tenant: Tenant, email: str) -> list[str]:
    async with tenant.database.system() as system:
        found = await system.scalars(
            select(Membership.role)
            .join(User, User.id == Membership.user_id)
            .where(Membership.organization_id == tenant.organization_id, User.email == email)
        )
        return list(found.all())


async def test_somebody_without_an_account_joins_by_the_letter(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    email = somebody()
    team = (await acme.client.post("/api/v1/teams", json={"name": "Sales"})).json()["id"]
    _, token = await invited(letterbox, acme, email, role="manager", team_ids=[team])

    answer = await anonymous.post(f"{INVITATIONS}/register", json=details(token))

    assert answer.status_code == 201, answer.text
    assert await roles_in(acme, email) == ["manager"]
    assert [m["email"] for m in (await acme.client.get(f"/api/v1/teams/{team}/members")).json()["items"]] == [email]
    login = await anonymous.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
    me = await anonymous.get("/api/v1/users/me", headers={"authorization": f"Bearer {login.json()['access_token']}"})
    assert (me.json()["is_verified"], me.json()["role"]) == (True, "manager")


async def test_somebody_with_an_account_joins_signed_in_and_switches(
    acme: Tenant, globex: Tenant, letterbox: Letterbox
) -> None:
    _, token = await invited(letterbox, acme, globex.email.upper(), role="viewer")

    answer = await globex.client.post(f"{INVITATIONS}/accept", json={"token": token})

    assert answer.status_code == 200, answer.text
    assert answer.json()["slug"] == acme.slug
    slugs = [each["slug"] for each in (await globex.client.get("/api/v1/users/me/organizations")).json()["items"]]
    assert sorted(slugs) == sorted([acme.slug, globex.slug])
    switched = await globex.client.post("/api/v1/auth/switch", json={"organization": acme.slug})
    async with client_of(acme.application, token=switched.json()["access_token"]) as client:
        me = (await client.get("/api/v1/users/me")).json()
    assert (me["organization"]["slug"], me["role"]) == (acme.slug, "viewer")
    assert (await globex.client.get("/api/v1/users/me")).json()["organization"]["slug"] == globex.slug


async def test_nobody_switches_to_where_they_do_not_belong(acme: Tenant, globex: Tenant) -> None:
    theirs = await globex.client.post("/api/v1/auth/switch", json={"organization": acme.slug})
    nobodys = await globex.client.post("/api/v1/auth/switch", json={"organization": "there-is-none"})

    assert {**theirs.json(), "correlation_id": ""} == {**nobodys.json(), "correlation_id": ""}
    assert theirs.status_code == 404


async def test_an_invitation_is_for_its_address_alone(acme: Tenant, globex: Tenant, letterbox: Letterbox) -> None:
    _, token = await invited(letterbox, acme, somebody())

    stolen = await globex.client.post(f"{INVITATIONS}/accept", json={"token": token})
    forged = await globex.client.post(f"{INVITATIONS}/accept", json={"token": "plugs_ot_forged"})

    assert stolen.status_code == forged.status_code == 404
    assert {**stolen.json(), "correlation_id": ""} == {**forged.json(), "correlation_id": ""}
    assert await roles_in(acme, globex.email) == []


async def test_twenty_at_once_accept_and_one_membership_comes_of_it(
    acme: Tenant, globex: Tenant, letterbox: Letterbox
) -> None:
    _, token = await invited(letterbox, acme, globex.email)

    answers = await asyncio.gather(
        *(globex.client.post(f"{INVITATIONS}/accept", json={"token": token}) for _ in range(20))
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [404] * 19
    assert await roles_in(acme, globex.email) == ["member"]


async def test_twenty_at_once_register_and_one_person_comes_of_it(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    email = somebody()
    _, token = await invited(letterbox, acme, email)

    answers = await asyncio.gather(*(anonymous.post(f"{INVITATIONS}/register", json=details(token)) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [201] + [404] * 19
    assert await roles_in(acme, email) == ["member"]


async def test_an_invitation_expires_after_a_week(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    _, token = await invited(letterbox, acme, somebody())

    with time_machine.travel(clock.now() + timedelta(days=7), tick=True):
        answer = await anonymous.post(f"{INVITATIONS}/register", json=details(token))

    assert (answer.status_code, answer.json()["code"]) == (404, "token-not-valid")


async def test_sending_it_again_kills_the_link_before(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    email = somebody()
    invitation, first = await invited(letterbox, acme, email)

    assert (await acme.client.post(f"{INVITATIONS}/{invitation}/resend")).status_code == 200
    await letterbox.deliver(acme)

    second = letterbox.last_to(email).token
    assert first != second
    assert (await anonymous.post(f"{INVITATIONS}/register", json=details(first))).status_code == 404
    assert (await anonymous.post(f"{INVITATIONS}/register", json=details(second))).status_code == 201


async def test_a_revoked_invitation_is_dead(acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox) -> None:
    invitation, token = await invited(letterbox, acme, somebody())

    assert (await acme.client.delete(f"{INVITATIONS}/{invitation}")).status_code == 204

    assert (await anonymous.post(f"{INVITATIONS}/register", json=details(token))).status_code == 404
    assert (await acme.client.get(f"{INVITATIONS}/{invitation}")).json()["state"] == "revoked"
    assert (await acme.client.post(f"{INVITATIONS}/{invitation}/resend")).status_code == 409


@pytest.mark.parametrize("column", ["is_active", "is_deleted"])
async def test_nobody_joins_an_organization_that_is_closed(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox, column: str
) -> None:
    _, token = await invited(letterbox, acme, somebody())
    async with acme.database.system() as system:
        await system.execute(
            update(Organization).where(Organization.id == acme.organization_id).values({column: column == "is_deleted"})
        )

    assert (await anonymous.post(f"{INVITATIONS}/register", json=details(token))).status_code == 404


async def test_nobody_invites_above_their_own_role(acme: Tenant, letterbox: Letterbox) -> None:
    admin = await make_member(acme, Role.ADMIN)
    invitation, _ = await invited(letterbox, acme, somebody(), role="owner")

    answers = [
        await invite(admin, somebody(), role="owner"),
        await admin.client.post(f"{INVITATIONS}/{invitation}/resend"),
        await admin.client.delete(f"{INVITATIONS}/{invitation}"),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "beyond-own-role")}
    assert (await invite(admin, somebody(), role="admin")).status_code == 201


async def test_inviting_tells_nothing_about_accounts(acme: Tenant, globex: Tenant) -> None:
    known, unknown = await invite(acme, globex.email), await invite(acme, somebody())

    for answer in (known, unknown):
        assert answer.status_code == 201
    private = {"id", "email", "sent_at", "expires_at", "created_at"}
    assert {k: v for k, v in known.json().items() if k not in private} == {
        k: v for k, v in unknown.json().items() if k not in private
    }


async def test_a_member_and_somebody_invited_are_not_invited(acme: Tenant) -> None:
    member, email = await make_member(acme, Role.MEMBER), somebody()
    await invite(acme, email)

    assert (await invite(acme, member.email)).json()["code"] == "already-member"
    assert (await invite(acme, email.upper())).json()["code"] == "already-invited"


async def test_twenty_invitations_of_one_address_at_once_are_one(acme: Tenant) -> None:
    email = somebody()

    answers = await asyncio.gather(*(invite(acme, email) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19


async def test_whoever_has_not_confirmed_their_own_address_invites_nobody(acme: Tenant) -> None:
    async with acme.database.system() as system:
        await system.execute(update(User).where(User.id == acme.user_id).values(is_verified=False))

    answer = await invite(acme, somebody())

    assert (answer.status_code, answer.json()["code"]) == (403, "email-not-verified")


async def test_invitations_at_once_do_not_go_beyond_the_plan(acme: Tenant) -> None:
    async def invited_in_the_end() -> httpx.Response:
        """Thirty at once are more than the pools hold on a busy machine: whoever is told to come back does."""
        for _ in range(20):
            if (answer := await invite(acme, somebody())).status_code != 503:
                break
            await asyncio.sleep(0.1)
        return answer

    answers = await asyncio.gather(*(invited_in_the_end() for _ in range(30)))

    refused = [answer.json()["code"] for answer in answers if not answer.is_success]
    assert refused == ["quota-exceeded"] * 6  # 25 places, one of them the owner's
    plan = (await acme.client.get("/api/v1/organizations/current/plan")).json()
    assert plan["members"] == {"limit": 25, "used": 25}


async def test_the_list_tells_the_state(acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox) -> None:
    pending, accepted = somebody(), somebody()
    await invite(acme, pending)
    _, token = await invited(letterbox, acme, accepted)
    await anonymous.post(f"{INVITATIONS}/register", json=details(token))

    found = {
        state: [
            each["email"]
            for each in (await acme.client.get(INVITATIONS, params={"invitation_state": state})).json()["items"]
        ]
        for state in ("pending", "accepted", "revoked", "expired")
    }

    assert found == {"pending": [pending], "accepted": [accepted], "revoked": [], "expired": []}


async def test_an_account_that_exists_is_told_to_whoever_holds_the_token(
    acme: Tenant, globex: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    _, token = await invited(letterbox, acme, globex.email)

    answer = await anonymous.post(f"{INVITATIONS}/register", json=details(token))

    assert (answer.status_code, answer.json()["code"]) == (409, "account-exists")
    async with acme.database.system() as system:
        assert await system.scalar(select(func.count()).where(User.email == globex.email)) == 1
