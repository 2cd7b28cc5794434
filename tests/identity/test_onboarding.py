"""From a stranger to a member: registering, confirming an address, a lost password. No answer tells who is one."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import time_machine
from letterbox import Letterbox
from sqlalchemy import select

from core import clock
from core.db.database import Database
from core.identity.models import Organization, User
from core.identity.organization_models import OneTimeToken
from core.tasks.models import NO_ORGANIZATION, OutboxJob
from core.testing.tenants import PASSWORD, Tenant

AUTH = "/api/v1/auth"
NEW_PASSWORD = "another-password-for-tests"


def newcomer(**others: Any) -> dict[str, Any]:
    name = f"n-{uuid4().hex[:12]}"
    return {
        "email": f"{name}@example.com",
        "password": PASSWORD,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "organization_name": "Engines",
        "organization_slug": name,
        **others,
    }


async def signed_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> dict[str, str]:
    answer = await client.post(f"{AUTH}/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


async def register(client: httpx.AsyncClient, person: dict[str, Any]) -> httpx.Response:
    answer = await client.post(f"{AUTH}/register", json=person)
    assert answer.status_code == 202, answer.text
    return answer


async def ask_reset(client: httpx.AsyncClient, letterbox: Letterbox, email: str) -> str:
    assert (await client.post(f"{AUTH}/password-reset", json={"email": email})).status_code == 202
    await letterbox.deliver()
    return letterbox.last_to(email).token


async def test_a_newcomer_confirms_their_address(anonymous: httpx.AsyncClient, letterbox: Letterbox) -> None:
    person = newcomer()
    await register(anonymous, person)
    await letterbox.deliver()
    me = await signed_in(anonymous, person["email"])
    before = (await anonymous.get("/api/v1/users/me", headers=me)).json()

    answer = await anonymous.post(f"{AUTH}/verify-email", json={"token": letterbox.last_to(person["email"]).token})

    assert answer.status_code == 204
    after = (await anonymous.get("/api/v1/users/me", headers=me)).json()
    assert (before["is_verified"], after["is_verified"]) == (False, True)


async def test_a_letter_to_a_stranger_holds_no_words_of_whoever_registered_them(
    anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    person = newcomer(first_name="http://spam.example", organization_name="Buy at http://spam.example")
    await register(anonymous, person)
    await letterbox.deliver()

    assert "spam" not in letterbox.last_to(person["email"]).message.as_string()


async def test_registering_a_known_address_tells_its_holder_and_nobody_else(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    fresh, known = newcomer(), newcomer(email=acme.email.upper())

    answers = [await register(anonymous, fresh), await register(anonymous, known)]

    assert answers[0].content == answers[1].content
    await letterbox.deliver()
    assert "already have an account" in str(letterbox.last_to(acme.email).message["Subject"])
    async with acme.database.system() as system:
        made = await system.scalars(
            select(Organization.slug).where(
                Organization.slug.in_([known["organization_slug"], fresh["organization_slug"]])
            )
        )
        assert made.all() == [fresh["organization_slug"]]


async def test_registering_a_taken_short_name_is_told_by_letter(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox, database: Database
) -> None:
    person = newcomer(organization_slug=acme.slug)

    await register(anonymous, person)

    await letterbox.deliver()
    assert "taken" in str(letterbox.last_to(person["email"]).message["Subject"])
    async with database.system() as system:
        assert await system.scalar(select(User.id).where(User.email == person["email"])) is None


async def test_twenty_registrations_of_one_address_make_one_person(
    anonymous: httpx.AsyncClient, database: Database
) -> None:
    person = newcomer()

    answers = await asyncio.gather(*(anonymous.post(f"{AUTH}/register", json=person) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {202}
    async with database.system() as system:
        assert len((await system.scalars(select(User.id).where(User.email == person["email"]))).all()) == 1


async def test_a_confirmation_works_once(anonymous: httpx.AsyncClient, letterbox: Letterbox) -> None:
    person = newcomer()
    await register(anonymous, person)
    await letterbox.deliver()
    token = {"token": letterbox.last_to(person["email"]).token}

    answers = await asyncio.gather(*(anonymous.post(f"{AUTH}/verify-email", json=token) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [204] + [404] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 404} == {"token-not-valid"}


async def test_a_confirmation_is_mailed_again_but_not_twice_a_minute(
    anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    person = newcomer()
    await register(anonymous, person)
    me = await signed_in(anonymous, person["email"])

    at_once = await anonymous.post(f"{AUTH}/verify-email/resend", headers=me)
    with time_machine.travel(clock.now() + timedelta(seconds=61), tick=True):
        later = await anonymous.post(f"{AUTH}/verify-email/resend", headers=me)

    assert (at_once.status_code, later.status_code) == (202, 202)
    await letterbox.deliver()
    assert len(letterbox.to(person["email"])) == 1  # the second is due a minute from now
    async with letterbox.application.litestar.state.services.database.system() as system:
        issued = await system.scalars(
            select(OneTimeToken.id).join(User, User.id == OneTimeToken.user_id).where(User.email == person["email"])
        )
        assert len(issued.all()) == 2


async def test_a_confirmed_address_needs_no_confirmation(acme: Tenant, letterbox: Letterbox) -> None:
    assert (await acme.client.post(f"{AUTH}/verify-email/resend")).status_code == 202

    await letterbox.deliver()
    assert letterbox.to(acme.email) == []


async def test_a_reset_changes_the_password_and_ends_all_sessions(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    token = await ask_reset(anonymous, letterbox, acme.email)

    answer = await anonymous.post(f"{AUTH}/password-reset/confirm", json={"token": token, "password": NEW_PASSWORD})

    assert answer.status_code == 204
    assert (await acme.client.get("/api/v1/users/me")).status_code == 401
    old = await anonymous.post(f"{AUTH}/login", json={"email": acme.email, "password": PASSWORD})
    assert old.status_code == 401
    await signed_in(anonymous, acme.email, NEW_PASSWORD)


async def test_of_twenty_uses_of_one_reset_one_succeeds(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    token = await ask_reset(anonymous, letterbox, acme.email)
    passwords = [f"{NEW_PASSWORD}-{number}" for number in range(20)]

    answers = await asyncio.gather(
        *(
            anonymous.post(f"{AUTH}/password-reset/confirm", json={"token": token, "password": password})
            for password in passwords
        )
    )

    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [204] + [404] * 19
    await signed_in(anonymous, acme.email, passwords[statuses.index(204)])


@pytest.mark.parametrize("after", [timedelta(hours=1), timedelta(days=30)])
async def test_a_reset_expires(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox, after: timedelta
) -> None:
    token = await ask_reset(anonymous, letterbox, acme.email)

    with time_machine.travel(clock.now() + after, tick=True):
        answer = await anonymous.post(f"{AUTH}/password-reset/confirm", json={"token": token, "password": NEW_PASSWORD})

    assert (answer.status_code, answer.json()["code"]) == (404, "token-not-valid")


async def test_a_token_serves_its_own_purpose_alone(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    token = await ask_reset(anonymous, letterbox, acme.email)

    verified = await anonymous.post(f"{AUTH}/verify-email", json={"token": token})
    restored = await anonymous.post(f"{AUTH}/restore-organization", json={"token": token})

    assert (verified.status_code, restored.status_code) == (404, 404)


async def test_a_reset_that_is_refused_is_not_used_up(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    token = await ask_reset(anonymous, letterbox, acme.email)
    short = {"token": token, "password": "too-short"}
    assert (await anonymous.post(f"{AUTH}/password-reset/confirm", json=short)).status_code == 422

    answer = await anonymous.post(f"{AUTH}/password-reset/confirm", json={"token": token, "password": NEW_PASSWORD})

    assert answer.status_code == 204


async def test_an_unknown_address_gets_the_same_answer_and_leaves_the_same_work(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox, database: Database
) -> None:
    unknown = f"{uuid4().hex}@nowhere.example"
    jobs = select(OutboxJob.id).where(OutboxJob.organization_id == NO_ORGANIZATION)
    async with database.system() as system:
        before = len((await system.scalars(jobs)).all())

    answers = [await anonymous.post(f"{AUTH}/password-reset", json={"email": email}) for email in (acme.email, unknown)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content
    async with database.system() as system:
        assert len((await system.scalars(jobs)).all()) == before + 2
    await letterbox.deliver()
    assert (len(letterbox.to(acme.email)), letterbox.to(unknown)) == (1, [])


async def test_asking_again_and_again_fills_nobodys_mailbox(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    await asyncio.gather(*(anonymous.post(f"{AUTH}/password-reset", json={"email": acme.email}) for _ in range(20)))

    await letterbox.deliver()
    assert len(letterbox.to(acme.email)) == 1


async def test_no_token_that_was_mailed_is_stored_anywhere(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox, database: Database
) -> None:
    token = await ask_reset(anonymous, letterbox, acme.email)

    async with database.system() as system:
        stored = [*(await system.scalars(select(OneTimeToken.token_hash))).all()]
        jobs = (await system.scalars(select(OutboxJob.arguments))).all()

    assert all(token.encode() not in each for each in stored)
    assert all(token not in str(arguments) for arguments in jobs)


async def test_a_deactivated_person_gets_no_reset(
    acme: Tenant, anonymous: httpx.AsyncClient, letterbox: Letterbox
) -> None:
    async with acme.database.system() as system:
        user = await system.get_one(User, acme.user_id)
        user.is_active = False

    await anonymous.post(f"{AUTH}/password-reset", json={"email": acme.email})

    await letterbox.deliver()
    assert letterbox.to(acme.email) == []
