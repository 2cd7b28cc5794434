"""Signing in with an issuer: who gets in, who is linked, and what an attempt is good for."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pytest
import time_machine
from factors import code_of, turn_on
from issuing import OIDC, Browser, LocalIssuer, provider, trusting
from letterbox import Letterbox
from sqlalchemy import func, select, update

from core import clock
from core.app import Application
from core.audit.models import AuditLog
from core.db.database import Database
from core.identity.models import User
from core.identity.oidc.models import OidcAttempt, OidcIdentity
from core.settings import Settings
from core.testing.tenants import Tenant

ME = "/api/v1/users/me"


async def identities_of(database: Database, user_id: UUID) -> list[str]:
    async with database.system() as system:
        found = await system.scalars(select(OidcIdentity.subject).where(OidcIdentity.user_id == user_id))
        return list(found)


async def set_person(database: Database, user_id: UUID, **values: Any) -> None:
    async with database.system() as system:
        await system.execute(update(User).where(User.id == user_id).values(**values))


async def email_with(browser: Browser, answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
    return (await browser.client.get(ME, headers=bearer)).json()["email"]


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_the_providers_are_listed_without_their_secrets(browser: Browser) -> None:
    answer = await browser.client.get(f"{OIDC}/providers")

    assert answer.json() == {"items": [{"name": "local", "title": "Local"}]}


async def test_an_attempt_asks_for_a_code_with_pkce_state_and_nonce(browser: Browser, issuer: LocalIssuer) -> None:
    started = (await browser.start()).json()

    asked = {name: values[0] for name, values in parse_qs(urlsplit(started["authorization_url"]).query).items()}
    assert started["authorization_url"].startswith(f"{issuer.url}/authorize?")
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://127.0.0.1:8000/oidc/local/callback"
    secrets = [asked["state"], asked["nonce"], asked["code_challenge"], started["browser_secret"]]
    assert len(set(secrets)) == 4
    assert {len(secret) for secret in secrets} == {43}
    assert started["browser_secret"] not in started["authorization_url"]


async def test_whoever_proved_their_address_on_both_sides_gets_in(
    acme: Tenant, issuer: LocalIssuer, browser: Browser, letterbox: Letterbox
) -> None:
    issuer.vouches_for(acme.email.upper())

    assert await email_with(browser, await browser.sign_in()) == acme.email

    await letterbox.deliver()
    assert letterbox.last_to(acme.email).message["subject"] == "A new way to sign in to your account"


async def test_once_linked_the_subject_counts_and_not_the_address(
    acme: Tenant, globex: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.vouches_for(acme.email, sub="the-same")
    await browser.sign_in()
    issuer.vouches_for(globex.email, sub="the-same")

    assert await email_with(browser, await browser.sign_in()) == acme.email
    assert await identities_of(acme.database, globex.user_id) == []


async def test_linking_is_in_the_trail(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.vouches_for(acme.email)
    await browser.sign_in()

    async with acme.database.system() as system:
        entry = await system.scalar(
            select(AuditLog).where(
                AuditLog.organization_id == acme.organization_id, AuditLog.table_name == "core.oidc_identities"
            )
        )
    assert entry is not None
    assert (entry.action, entry.user_id) == ("create", acme.user_id)


UNVERIFIED: list[dict[str, Any]] = [
    {"email_verified": False},
    {"email_verified": None},
    {"email_verified": "true"},
    {"email_verified": 1},
    {"email": None},
    {"email": ["a", "b"]},
]


@pytest.mark.parametrize("claims", UNVERIFIED)
async def test_an_address_that_the_issuer_has_not_verified_links_nobody(
    acme: Tenant, issuer: LocalIssuer, browser: Browser, claims: dict[str, Any]
) -> None:
    issuer.vouches_for(acme.email, **claims)

    assert problem(await browser.sign_in()) == (403, "oidc-not-linked")
    assert await identities_of(acme.database, acme.user_id) == []


async def test_an_account_whose_address_is_not_confirmed_here_is_not_joined(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    """Somebody may have opened it under the address of another, and wait for them with a password of their own."""
    await set_person(acme.database, acme.user_id, is_verified=False)
    issuer.vouches_for(acme.email)

    assert problem(await browser.sign_in()) == (403, "oidc-not-linked")
    assert await identities_of(acme.database, acme.user_id) == []


async def test_who_has_no_account_is_told_the_same_as_who_is_not_linked(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.vouches_for(acme.email, email_verified=False)
    unlinked = await browser.sign_in()
    issuer.vouches_for("nobody@nowhere.example")
    unknown = await browser.sign_in()

    assert unlinked.status_code == 403
    assert {**unlinked.json(), "correlation_id": ""} == {**unknown.json(), "correlation_id": ""}


async def test_an_address_given_to_somebody_else_does_not_take_the_account_along(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.vouches_for(acme.email, sub="first-owner")
    await browser.sign_in()
    issuer.vouches_for(acme.email, sub="next-owner")

    assert problem(await browser.sign_in()) == (403, "oidc-not-linked")
    assert await identities_of(acme.database, acme.user_id) == ["first-owner"]


async def test_letters_that_only_look_alike_link_nobody(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    await set_person(acme.database, acme.user_id, email=f"k{acme.email}")
    issuer.vouches_for(f"\u212a{acme.email}", sub="look-alike")  # the sign for kelvin, whose small form is a plain k

    assert problem(await browser.sign_in()) == (403, "oidc-not-linked")


async def test_who_is_disabled_stays_out(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.vouches_for(acme.email)
    await browser.sign_in()
    await set_person(acme.database, acme.user_id, is_active=False)

    assert (await browser.sign_in()).status_code == 401


async def test_nobody_enters_an_organization_they_do_not_belong_to(
    acme: Tenant, globex: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.vouches_for(acme.email)

    assert (await browser.sign_in(organization=globex.slug)).status_code == 401
    assert (await browser.sign_in(organization=acme.slug)).status_code == 200


async def test_the_second_factor_is_asked_for_all_the_same(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    seed, _ = await turn_on(acme)
    issuer.vouches_for(acme.email)
    data = await browser.back()

    assert problem(await browser.callback(data)) == (401, "mfa-required")
    assert problem(await browser.second_factor(data)) == (401, "mfa-required")
    assert problem(await browser.second_factor(data, totp_code=code_of(seed, steps=40))) == (401, "invalid-code")
    others = {**data, "browser_secret": "another"}
    assert problem(await browser.second_factor(others, totp_code=code_of(seed))) == (401, "oidc-refused")
    assert await email_with(browser, await browser.second_factor(data, totp_code=code_of(seed))) == acme.email


async def test_the_second_factor_ends_the_attempt(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    _, recovery_codes = await turn_on(acme)
    issuer.vouches_for(acme.email)
    data = await browser.back()
    await browser.callback(data)

    answers = await asyncio.gather(*(browser.second_factor(data, recovery_code=code) for code in recovery_codes[:5]))

    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]


async def test_the_second_factor_counts_for_nothing_before_the_issuer_vouched(acme: Tenant, browser: Browser) -> None:
    data = await browser.back()

    assert problem(await browser.second_factor(data)) == (401, "oidc-refused")


async def test_a_state_counts_once_however_many_come_at_once(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.vouches_for(acme.email)
    data = await browser.back()

    answers = await asyncio.gather(*(browser.callback(data) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 19]
    assert issuer.asked("/token") >= 1


async def test_many_first_sign_ins_at_once_link_one_identity(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.vouches_for(acme.email)
    returned = [await browser.back() for _ in range(5)]

    answers = await asyncio.gather(*(browser.callback(data) for data in returned))

    assert {answer.status_code for answer in answers} == {200}
    assert await identities_of(acme.database, acme.user_id) == [f"subject of {acme.email}"]


async def test_a_state_is_over_after_ten_minutes(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.vouches_for(acme.email)
    data = await browser.back()

    with time_machine.travel(clock.now() + timedelta(minutes=10, seconds=1)):
        assert problem(await browser.callback(data)) == (401, "oidc-refused")


async def test_attempts_that_are_over_are_removed(browser: Browser, database: Database) -> None:
    async with database.system() as system:
        await system.execute(OidcAttempt.__table__.delete())  # other tests': each new attempt removes a few old ones
    await browser.start()
    later = clock.now() + timedelta(hours=1)
    with time_machine.travel(later):
        await asyncio.gather(*(browser.start() for _ in range(3)))

    async with database.system() as system:
        left = await system.scalar(
            select(func.count()).select_from(OidcAttempt).where(OidcAttempt.expires_at < later - timedelta(minutes=49))
        )
        await system.execute(OidcAttempt.__table__.delete())  # those of the future
    assert left == 0


async def test_a_provider_that_there_is_not_is_not_found(browser: Browser) -> None:
    data = {"code": "c", "state": "s", "browser_secret": "b"}

    assert (await browser.start("other")).status_code == 404
    assert (await browser.callback(data, "other")).status_code == 404
    assert (await browser.second_factor(data, "other")).status_code == 404


async def test_a_deployment_without_providers_has_none(application: Application, anonymous: httpx.AsyncClient) -> None:
    assert application.runtime.settings.oidc_providers == ""
    assert (await anonymous.get(f"{OIDC}/providers")).json() == {"items": []}


async def test_a_client_that_proves_itself_in_the_form_does_so(
    acme: Tenant, issuer: LocalIssuer, settings: Settings
) -> None:
    vouched = {"email": acme.email, "email_verified": True}
    issuer.will(claims=vouched, metadata={"token_endpoint_auth_methods_supported": ["client_secret_post"]})
    async with trusting(settings, provider(issuer)) as application:
        assert (await Browser(application).sign_in()).status_code == 200


async def test_a_client_whose_secret_is_wrong_blames_the_deployment_and_not_the_person(
    issuer: LocalIssuer, settings: Settings
) -> None:
    async with trusting(settings, provider(issuer, client_secret="another")) as application:
        assert problem(await Browser(application).sign_in()) == (503, "oidc-provider-unavailable")
