"""Signing in, refreshing, signing out: who gets in, for how long, and what a stolen token is worth."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import time_machine
from sqlalchemy import Select, func, select, update

from core import clock
from core.db.database import Database
from core.identity.models import Membership, RefreshToken, Session, User
from core.identity.tokens import hash_refresh
from core.permissions import Role
from core.settings import Settings
from core.testing.tenants import PASSWORD, MakeTenant, Tenant, make_member

LOGIN, REFRESH, ME = "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/users/me"


async def sign_in(client: httpx.AsyncClient, email: str, **others: Any) -> httpx.Response:
    return await client.post(LOGIN, json={"email": email, "password": PASSWORD, **others})


async def me_with(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get(ME, headers={"authorization": f"Bearer {token}"})


async def test_the_owner_is_told_who_they_are(acme: Tenant) -> None:
    answer = await acme.client.get(ME)

    assert answer.status_code == 200
    assert answer.json()["email"] == acme.email
    assert answer.json()["organization"]["slug"] == acme.slug
    assert answer.json()["role"] == "owner"
    assert "networking:write" in answer.json()["permissions"]


async def test_an_address_signs_in_in_any_case(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    assert (await sign_in(anonymous, acme.email.upper())).status_code == 200


async def test_a_wrong_password_and_an_unknown_address_get_the_same_answer(
    acme: Tenant, anonymous: httpx.AsyncClient
) -> None:
    wrong = await anonymous.post(LOGIN, json={"email": acme.email, "password": "not the password"})
    unknown = await anonymous.post(LOGIN, json={"email": f"{uuid4().hex}@nowhere.example", "password": PASSWORD})

    assert wrong.status_code == unknown.status_code == 401
    assert {**wrong.json(), "correlation_id": ""} == {**unknown.json(), "correlation_id": ""}
    assert wrong.json()["code"] == "invalid-credentials"


async def test_nobody_enters_an_organization_they_do_not_belong_to(
    acme: Tenant, globex: Tenant, anonymous: httpx.AsyncClient
) -> None:
    assert (await sign_in(anonymous, acme.email, organization=globex.slug)).status_code == 401


async def test_a_refresh_token_is_swapped_for_the_next(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    first = (await sign_in(anonymous, acme.email)).json()

    second = await anonymous.post(REFRESH, json={"refresh_token": first["refresh_token"]})

    assert second.status_code == 200
    assert second.json()["refresh_token"] != first["refresh_token"]
    assert (await me_with(anonymous, second.json()["access_token"])).status_code == 200


async def test_a_double_click_gets_the_same_successor(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    first = (await sign_in(anonymous, acme.email)).json()

    answers = await asyncio.gather(
        *(anonymous.post(REFRESH, json={"refresh_token": first["refresh_token"]}) for _ in range(20))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_50_refreshes_at_once_give_one_family_and_sign_nobody_out(
    acme: Tenant, anonymous: httpx.AsyncClient, database: Database
) -> None:
    first = (await sign_in(anonymous, acme.email)).json()

    answers = await asyncio.gather(
        *(anonymous.post(REFRESH, json={"refresh_token": first["refresh_token"]}) for _ in range(50))
    )

    pairs = [answer.json() for answer in answers]
    assert {(await me_with(anonymous, pair["access_token"])).status_code for pair in pairs} == {200}
    following = await anonymous.post(REFRESH, json={"refresh_token": pairs[-1]["refresh_token"]})
    assert following.status_code == 200
    async with database.system() as system:
        family = (
            await system.execute(
                select(RefreshToken.session_id, func.count(), func.bool_and(Session.revoked_at.is_(None)))
                .join(Session, Session.id == RefreshToken.session_id)
                .where(RefreshToken.session_id.in_(_family_of(first["refresh_token"])))
                .group_by(RefreshToken.session_id)
            )
        ).all()
    assert [(count, lives) for _, count, lives in family] == [(3, True)]


def _family_of(refresh_token: str) -> Select[tuple[UUID]]:
    return select(RefreshToken.session_id).where(RefreshToken.token_hash == hash_refresh(refresh_token))


async def test_a_reused_refresh_token_ends_its_family(
    acme: Tenant, anonymous: httpx.AsyncClient, database: Database
) -> None:
    first = (await sign_in(anonymous, acme.email)).json()
    second = (await anonymous.post(REFRESH, json={"refresh_token": first["refresh_token"]})).json()

    with time_machine.travel(clock.now() + timedelta(seconds=11), tick=True):
        replay = await anonymous.post(REFRESH, json={"refresh_token": first["refresh_token"]})
        successor = await anonymous.post(REFRESH, json={"refresh_token": second["refresh_token"]})

    assert replay.status_code == successor.status_code == 401
    assert (await me_with(anonymous, second["access_token"])).status_code == 401
    async with database.system() as system:
        reasons = await system.scalars(
            select(Session.revoked_reason).where(Session.user_id == acme.user_id, Session.revoked_at.is_not(None))
        )
        assert reasons.all() == ["refresh-token-reused"]


async def test_refreshing_does_not_make_a_session_live_longer(
    acme: Tenant, anonymous: httpx.AsyncClient, settings: Settings
) -> None:
    first = (await sign_in(anonymous, acme.email)).json()
    nearly = clock.now() + timedelta(seconds=settings.refresh_token_seconds - 60)
    with time_machine.travel(nearly, tick=True):
        second = await anonymous.post(REFRESH, json={"refresh_token": first["refresh_token"]})

    with time_machine.travel(nearly + timedelta(seconds=120), tick=True):
        third = await anonymous.post(REFRESH, json={"refresh_token": second.json()["refresh_token"]})

    assert second.status_code == 200
    assert third.status_code == 401


async def test_signing_out_ends_the_session_at_once(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    pair = (await sign_in(anonymous, acme.email)).json()
    bearer = {"authorization": f"Bearer {pair['access_token']}"}

    assert (await anonymous.post("/api/v1/auth/logout", headers=bearer)).status_code == 204

    assert (await anonymous.get(ME, headers=bearer)).status_code == 401
    assert (await anonymous.post(REFRESH, json={"refresh_token": pair["refresh_token"]})).status_code == 401


async def test_no_token_is_stored(acme: Tenant, anonymous: httpx.AsyncClient, database: Database) -> None:
    pair = (await sign_in(anonymous, acme.email)).json()

    async with database.system() as system:
        hashes = (await system.scalars(select(RefreshToken.token_hash))).all()
    assert all(pair["refresh_token"].encode() not in stored for stored in hashes)


@pytest.mark.parametrize("column", ["is_active", "is_deleted"])
async def test_a_disabled_person_is_out_with_their_next_request(acme: Tenant, column: str) -> None:
    member = await make_member(acme, Role.MEMBER)
    async with acme.system() as system:
        await system.execute(update(User).where(User.id == member.user_id).values({column: column == "is_deleted"}))

    assert (await member.client.get(ME)).status_code == 401


async def test_a_demoted_member_is_refused_with_their_next_request(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)
    contact = {"first_name": "Ada"}
    assert (await member.client.post("/api/v1/networking/contacts", json=contact)).status_code == 201

    async with acme.system() as system:
        await system.execute(
            update(Membership).where(Membership.user_id == member.user_id).values(role=Role.VIEWER.value)
        )

    refused = await member.client.post("/api/v1/networking/contacts", json=contact)
    assert refused.status_code == 403
    assert refused.json()["code"] == "forbidden"


async def test_a_refresh_token_is_no_access_token(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    pair = (await sign_in(anonymous, acme.email)).json()

    assert (await me_with(anonymous, pair["refresh_token"])).status_code == 401


def registration(**changes: str) -> dict[str, str]:
    slug = f"t-{uuid4().hex[:12]}"
    return {
        "email": f"ada@{slug}.example",
        "password": PASSWORD,
        "first_name": "Ada",
        "last_name": "Okafor",
        "organization_name": "Analytical Engines",
        "organization_slug": slug,
        **changes,
    }


async def test_a_person_registers_and_signs_in(anonymous: httpx.AsyncClient) -> None:
    data = registration()

    assert (await anonymous.post("/api/v1/auth/register", json=data)).status_code == 202

    pair = (await sign_in(anonymous, data["email"])).json()
    me = (await me_with(anonymous, pair["access_token"])).json()
    assert me["organization"]["slug"] == data["organization_slug"]
    assert me["role"] == "owner"


async def test_registering_does_not_tell_who_has_an_account(
    acme: Tenant, anonymous: httpx.AsyncClient, database: Database
) -> None:
    data = registration(email=acme.email.upper())

    answer = await anonymous.post("/api/v1/auth/register", json=data)

    assert answer.status_code == 202
    async with database.system() as system:
        assert await system.scalar(select(func.count()).where(User.email == acme.email)) == 1
    assert (await sign_in(anonymous, acme.email, organization=data["organization_slug"])).status_code == 401


async def test_one_address_registered_many_times_at_once_is_one_person(
    anonymous: httpx.AsyncClient, database: Database
) -> None:
    data = registration()

    answers = await asyncio.gather(*(anonymous.post("/api/v1/auth/register", json=data) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {202}
    async with database.system() as system:
        assert await system.scalar(select(func.count()).where(User.email == data["email"])) == 1


async def test_a_short_password_is_refused_and_a_long_one_is_taken_whole(anonymous: httpx.AsyncClient) -> None:
    refused = await anonymous.post("/api/v1/auth/register", json=registration(password="fourteen chars"))
    long = registration(password="p" * 200 + "end")
    await anonymous.post("/api/v1/auth/register", json=long)
    cut = await anonymous.post(LOGIN, json={"email": long["email"], "password": "p" * 200})
    whole = await anonymous.post(LOGIN, json={"email": long["email"], "password": long["password"]})

    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["password"]
    assert (cut.status_code, whole.status_code) == (401, 200)


async def test_a_member_of_two_organizations_enters_the_one_they_name(
    new_tenant: MakeTenant, anonymous: httpx.AsyncClient
) -> None:
    first, second = await new_tenant(), await new_tenant()
    async with first.database.system() as system:
        system.add(Membership(organization_id=second.organization_id, user_id=first.user_id, role=Role.VIEWER.value))

    pair = (await sign_in(anonymous, first.email, organization=second.slug)).json()

    me = (await me_with(anonymous, pair["access_token"])).json()
    assert (me["organization"]["slug"], me["role"]) == (second.slug, "viewer")
