"""Passwords: long rather than contrived, none that is tried first, hashed off the event loop."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from argon2 import PasswordHasher, extract_parameters
from factors import turn_on
from sqlalchemy import select, text, update

from core.identity.breached import is_breached
from core.identity.models import User
from core.identity.passwords import THREADS, hash_password, verify_password
from core.testing.passwords import FULL
from core.testing.tenants import PASSWORD, Tenant, client_of
from core.testing.waiting import until

LOGIN, ME, CHANGE = "/api/v1/auth/login", "/api/v1/users/me", "/api/v1/auth/password"
OTHER = "another-password-for-tests"


async def sign_in(tenant: Tenant, password: str = PASSWORD) -> httpx.Response:
    async with client_of(tenant.application) as anonymous:
        return await anonymous.post(LOGIN, json={"email": tenant.email, "password": password})


async def change(tenant: Tenant, new: str, current: str = PASSWORD) -> httpx.Response:
    return await tenant.client.post(CHANGE, json={"current_password": current, "new_password": new})


def registration(password: str) -> dict[str, Any]:
    slug = f"t-{uuid4().hex[:12]}"
    return {
        "email": f"ada@{slug}.example",
        "password": password,
        "first_name": "Ada",
        "last_name": "Okafor",
        "organization_name": "Analytical Engines",
        "organization_slug": slug,
    }


async def test_a_changed_password_is_the_one_that_counts(acme: Tenant) -> None:
    assert (await change(acme, OTHER)).status_code == 204

    assert (await sign_in(acme, OTHER)).status_code == 200
    assert (await sign_in(acme, PASSWORD)).status_code == 401


async def test_changing_the_password_ends_all_other_sessions(acme: Tenant) -> None:
    pair = (await sign_in(acme)).json()
    other = client_of(acme.application, token=pair["access_token"])

    await change(acme, OTHER)

    assert (await other.get(ME)).status_code == 401
    refreshed = await other.post("/api/v1/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await acme.client.get(ME)).status_code == 200


async def test_changing_the_password_needs_the_old_one(acme: Tenant) -> None:
    refused = await change(acme, OTHER, current="not the password")

    assert (refused.status_code, refused.json()["code"]) == (403, "wrong-password")
    assert (await sign_in(acme)).status_code == 200


async def test_a_sign_in_that_was_under_way_does_not_outlive_a_change(acme: Tenant) -> None:
    """It has found the old password right, and gets no further; nor does it write the old hash back."""
    new_hash = await hash_password(OTHER)
    async with acme.database.system() as system:
        await system.execute(update(User).where(User.id == acme.user_id).values(password_hash=new_hash))
        under_way = asyncio.create_task(sign_in(acme))
        await until(lambda: somebody_waits(acme), within=15)

    assert (await under_way).status_code == 401
    assert (await sign_in(acme, OTHER)).status_code == 200


async def somebody_waits(tenant: Tenant) -> bool:
    """Whether a transaction in this database waits for the end of another."""
    waiting = text(
        "SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
        "WHERE NOT l.granted AND a.datname = current_database())"
    )
    async with tenant.database.system() as system:
        return bool(await system.scalar(waiting))


@pytest.mark.parametrize("password", ["fourteen chars", "Password!", ""])
async def test_a_password_that_is_the_only_factor_has_15_characters(acme: Tenant, password: str) -> None:
    refused = await change(acme, password)

    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["new_password"]


async def test_64_characters_and_more_are_taken_whole(acme: Tenant) -> None:
    long = "passphrases of many words are welcome here, " * 5

    assert (await change(acme, long)).status_code == 204

    assert (await sign_in(acme, long)).status_code == 200
    assert (await sign_in(acme, long[:64])).status_code == 401
    assert (await sign_in(acme, long[:-1])).status_code == 401


@pytest.mark.parametrize(
    "password", ["quiet river under stars", "111222333444555777", "ЖелтаяЛампаНаОкне", "🦊🌧🎻🧭🪁🦊🌧🎻🧭🪁🥝🥝🥝🥝🥝"]
)
async def test_there_are_no_rules_of_composition(acme: Tenant, password: str) -> None:
    assert (await change(acme, password)).status_code == 204


BREACHED = [
    "passwordpassword",
    "PasswordPassword1!",
    "123456789012345",
    "qwertyuiopasdfghjkl",
    "P4$$w0rd2024!!!!",
    "aaaaaaaaaaaaaaa",
    "iloveyouiloveyou",
    "Summer2024!!!!!!",
    "1q2w3e4r5t6y7u8i",
    "abcdefghijklmnop",
]


@pytest.mark.parametrize("password", BREACHED)
async def test_a_password_that_is_tried_first_is_refused(
    acme: Tenant, anonymous: httpx.AsyncClient, password: str
) -> None:
    changed = await change(acme, password)
    registered = await anonymous.post("/api/v1/auth/register", json=registration(password))

    assert changed.status_code == registered.status_code == 422
    assert [(e["field"], e["code"]) for e in changed.json()["errors"]] == [("new_password", "breached")]
    assert [(e["field"], e["code"]) for e in registered.json()["errors"]] == [("password", "breached")]


@pytest.mark.parametrize(
    "password", [PASSWORD, "correct-horse-battery", "blue whale sings at noon", "tr0ub4dor&3xyz", "p" * 40 + "end"]
)
def test_a_password_of_ones_own_is_not_mistaken_for_one(password: str) -> None:
    assert not is_breached(password)


async def test_with_a_second_factor_8_characters_are_enough(acme: Tenant) -> None:
    assert (await change(acme, "kJ8$vq2z")).status_code == 422
    await turn_on(acme)

    assert (await change(acme, "kJ8$vq2")).status_code == 422
    assert (await change(acme, "kJ8$vq2z")).status_code == 204


async def test_a_short_password_is_never_left_alone(acme: Tenant) -> None:
    _, codes = await turn_on(acme)
    await change(acme, "kJ8$vq2z")

    off = await acme.client.post(
        "/api/v1/auth/mfa/totp/disable", json={"password": "kJ8$vq2z", "recovery_code": codes[0]}
    )

    assert (off.status_code, off.json()["code"]) == (409, "password-too-short")


@pytest.mark.usefixtures("full_cost")
async def test_argon2id_is_at_least_at_its_floor() -> None:
    parameters = extract_parameters(await hash_password(PASSWORD))

    assert parameters.type.name == "ID"
    assert parameters.memory_cost >= 19 * 1024
    assert parameters.time_cost >= 2


@pytest.mark.usefixtures("full_cost")
async def test_hashing_leaves_the_event_loop_free_and_is_bounded() -> None:
    loop = asyncio.get_running_loop()
    longest, last = 0.0, loop.time()
    work = [asyncio.create_task(verify_password("x" * 15, FULL.hash(PASSWORD))) for _ in range(3)]
    work += [asyncio.create_task(hash_password(PASSWORD)) for _ in range(20)]
    await asyncio.sleep(0)
    last = loop.time()

    while not all(task.done() for task in work):
        await asyncio.sleep(0.001)
        longest, last = max(longest, loop.time() - last), loop.time()

    from core.identity.passwords import _pool

    assert longest < 0.5
    assert len(_pool._threads) <= THREADS


@pytest.mark.usefixtures("full_cost")
async def test_an_old_hash_is_renewed_at_sign_in(acme: Tenant) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    async with acme.database.system() as system:
        await system.execute(update(User).where(User.id == acme.user_id).values(password_hash=weak))

    assert (await sign_in(acme)).status_code == 200

    async with acme.database.system() as system:
        stored = await system.scalar(select(User.password_hash).where(User.id == acme.user_id))
    assert stored is not None
    assert extract_parameters(stored).memory_cost == FULL.memory_cost
    assert (await sign_in(acme)).status_code == 200
