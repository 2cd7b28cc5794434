"""Sessions: a person sees where they are signed in, and ends what is not theirs to have open."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import time_machine

from core import clock
from core.testing.tenants import PASSWORD, Tenant, client_of

LOGIN, ME, SESSIONS = "/api/v1/auth/login", "/api/v1/users/me", "/api/v1/auth/sessions"


async def another_session(tenant: Tenant, **headers: str) -> httpx.AsyncClient:
    async with client_of(tenant.application) as anonymous:
        answer = await anonymous.post(LOGIN, json={"email": tenant.email, "password": PASSWORD}, headers=headers)
    return client_of(tenant.application, token=answer.json()["access_token"])


async def sessions_of(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get(SESSIONS)
    assert answer.status_code == 200
    return answer.json()["items"]


async def test_a_person_sees_where_they_are_signed_in(acme: Tenant, globex: Tenant) -> None:
    phone = await another_session(acme, **{"user-agent": "A phone"})

    found = await sessions_of(phone)

    assert [(s["current"], s["user_agent"]) for s in found if s["current"]] == [(True, "A phone")]
    assert len(found) == 2
    assert all(session["address"].startswith("10.") for session in found)
    assert {s["id"] for s in found}.isdisjoint(s["id"] for s in await sessions_of(globex.client))


async def test_an_address_that_a_header_claims_is_not_believed(acme: Tenant) -> None:
    headers = {"x-forwarded-for": "203.0.113.7", "forwarded": "for=203.0.113.7", "x-real-ip": "203.0.113.7"}

    client = await another_session(acme, **headers)

    assert "203.0.113.7" not in {session["address"] for session in await sessions_of(client)}


async def test_a_session_that_is_ended_is_out_with_its_next_request(acme: Tenant) -> None:
    phone = await another_session(acme)
    its_id = next(session["id"] for session in await sessions_of(phone) if session["current"])

    ended = await acme.client.delete(f"{SESSIONS}/{its_id}")

    assert ended.status_code == 204
    assert (await phone.get(ME)).status_code == 401
    assert (await acme.client.get(ME)).status_code == 200
    assert (await acme.client.delete(f"{SESSIONS}/{its_id}")).status_code == 404


async def test_nobody_ends_another_persons_session(acme: Tenant, globex: Tenant) -> None:
    theirs = (await sessions_of(globex.client))[0]["id"]

    refused = await acme.client.delete(f"{SESSIONS}/{theirs}")
    to_nothing = await acme.client.delete(f"{SESSIONS}/{uuid4()}")

    assert refused.status_code == to_nothing.status_code == 404
    assert {**refused.json(), "correlation_id": ""} == {**to_nothing.json(), "correlation_id": ""}
    assert (await globex.client.get(ME)).status_code == 200


async def test_ending_all_others_leaves_the_one_that_asks(acme: Tenant) -> None:
    others = [await another_session(acme) for _ in range(3)]

    answer = await acme.client.post(f"{SESSIONS}/end-others")

    assert answer.json() == {"ended": 3}
    assert [(await other.get(ME)).status_code for other in others] == [401, 401, 401]
    assert (await acme.client.get(ME)).status_code == 200


async def test_it_is_told_when_a_session_was_last_used(acme: Tenant) -> None:
    later = clock.now() + timedelta(minutes=5)

    with time_machine.travel(later, tick=True):
        await acme.client.get(ME)

    used = (await sessions_of(acme.client))[0]
    assert used["last_used_at"] >= later.isoformat()[:19]
    assert used["created_at"] < used["last_used_at"]


async def test_a_session_that_ran_out_is_none(acme: Tenant, settings: Any) -> None:
    with time_machine.travel(clock.now() + timedelta(seconds=settings.refresh_token_seconds - 60), tick=True):
        fresh = await another_session(acme)
    with time_machine.travel(clock.now() + timedelta(seconds=settings.refresh_token_seconds + 1), tick=True):
        pair_is_young = await fresh.get(ME)
        assert len(await sessions_of(fresh)) == 1

    assert pair_is_young.status_code == 200
