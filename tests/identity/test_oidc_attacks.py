"""Attacks on signing in with an issuer, tried for real: forged tokens, stolen answers, issuers that misbehave."""

import asyncio
import base64
import hashlib
import time
from typing import Any

import pytest
from issuer import CLIENT_ID, CLIENT_SECRET
from issuing import SECONDS, Browser, LocalIssuer, local_issuer, provider, trusting
from sqlalchemy import text
from test_oidc import identities_of, problem

from core.db.database import Database
from core.settings import Settings
from core.testing.tenants import Tenant

REFUSED = (401, "oidc-refused")
AWAY = (503, "oidc-provider-unavailable")
DISCOVERY = "/.well-known/openid-configuration"


@pytest.mark.parametrize(
    "signing",
    [
        "none",
        "public key as a secret",
        "client secret",
        "foreign",
        "own key in the header",
        "critical",
        "unknown id",
    ],
)
async def test_a_token_that_the_issuer_did_not_sign_as_it_should_is_refused(
    acme: Tenant, issuer: LocalIssuer, browser: Browser, signing: str
) -> None:
    issuer.will(signing=signing, claims={"email": acme.email, "email_verified": True})

    assert problem(await browser.sign_in()) == REFUSED
    assert issuer.asked("/foreign") == 0
    assert await identities_of(acme.database, acme.user_id) == []


async def test_a_token_without_a_keys_id_is_tried_with_the_issuers_keys(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.will(signing="no id", claims={"email": acme.email, "email_verified": True})

    assert (await browser.sign_in()).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another attempt"},
        {"nonce": None},
        {"nonce": 1},
        {"nonce": "\ud800"},
        {"sub": "\ud800"},
        {"sub": 1},
        {"exp": True},
        {"iat": [1]},
        {"aud": "another client"},
        {"aud": [CLIENT_ID, "another client"]},
        {"aud": []},
        {"aud": None},
        {"azp": "another client"},
        {"iss": "https://accounts.example"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "a\0b"},
        {"exp": int(time.time()) - 120},
        {"exp": None},
        {"exp": "never"},
        {"iat": int(time.time()) + 7200},
        {"iat": int(time.time()) - 7200},
        {"iat": None},
        {"nbf": int(time.time()) + 7200},
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(
    acme: Tenant, issuer: LocalIssuer, browser: Browser, claims: dict[str, Any]
) -> None:
    issuer.vouches_for(acme.email, **claims)

    assert problem(await browser.sign_in()) == REFUSED
    assert await identities_of(acme.database, acme.user_id) == []


async def test_a_token_of_before_the_attempt_is_refused(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.vouches_for(acme.email, iat=int(time.time()) - 90)
    assert problem(await browser.sign_in()) == REFUSED

    issuer.vouches_for(acme.email, iat=int(time.time()) - 30)  # the issuer's clock may be a little behind
    assert (await browser.sign_in()).status_code == 200


async def test_a_stolen_answer_is_of_no_use_without_the_browsers_secret(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.vouches_for(acme.email)
    mine, stolen = await browser.back(), await browser.back()

    assert problem(await browser.callback({**stolen, "browser_secret": mine["browser_secret"]})) == REFUSED
    assert (await browser.callback(stolen)).status_code == 200  # its owner is not kept out by it


async def test_a_replayed_state_is_refused(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.vouches_for(acme.email)
    data = await browser.back()
    assert (await browser.callback(data)).status_code == 200

    assert problem(await browser.callback(data)) == REFUSED


async def test_a_state_that_failed_once_is_used_up(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.vouches_for(acme.email)
    data = await browser.back()
    assert problem(await browser.callback({**data, "code": "guessed"})) == REFUSED
    asked = issuer.asked("/token")

    assert problem(await browser.callback(data)) == REFUSED
    assert issuer.asked("/token") == asked


async def test_a_replayed_code_is_refused(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.vouches_for(acme.email)
    first, second = await browser.back(), await browser.back()
    assert (await browser.callback(first)).status_code == 200

    assert problem(await browser.callback({**second, "code": first["code"]})) == REFUSED


async def test_another_ones_code_put_into_ones_own_attempt_is_refused(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    """PKCE: the code belongs to the attempt that it was asked for in."""
    issuer.vouches_for(acme.email)
    mine, theirs = await browser.back(), await browser.back()

    assert problem(await browser.callback({**mine, "code": theirs["code"]})) == REFUSED
    assert await identities_of(acme.database, acme.user_id) == []


async def test_an_attempt_leaves_no_secret_in_the_database(browser: Browser, database: Database) -> None:
    data = await browser.back()
    state, secret = data["state"], data["browser_secret"]

    async with database.system() as system:
        rows = (await system.execute(text("SELECT attempts::text FROM core.oidc_attempts AS attempts"))).scalars()
        stored = "\n".join(rows)
    assert hashlib.sha256(state.encode()).hexdigest() in stored
    for plain in (state, secret):
        assert plain not in stored
        assert plain.encode().hex() not in stored
        assert base64.urlsafe_b64decode(plain + "=").hex() not in stored


async def test_no_secret_of_an_attempt_reaches_a_log(
    acme: Tenant, issuer: LocalIssuer, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.vouches_for(acme.email)
    data = await browser.back()
    pair = (await browser.callback(data)).json()
    issuer.vouches_for(acme.email, aud="another client")
    failed = await browser.back()
    assert problem(await browser.callback(failed)) == REFUSED

    logged = "".join(capsys.readouterr())
    assert "oidc.refused" in logged
    secrets = {CLIENT_SECRET, *data.values(), *failed.values(), *map(str, pair.values())} - {
        issuer.url,
        "Bearer",
        "900",
    }
    assert [secret for secret in secrets if secret in logged] == []
    assert f"subject of {acme.email}" not in logged


@pytest.mark.parametrize("named", ["https://accounts.example", None])
async def test_an_answer_of_another_issuer_never_reaches_this_one(
    acme: Tenant, issuer: LocalIssuer, browser: Browser, named: str | None
) -> None:
    """Mix-up (RFC 9207): the code is not sent anywhere."""
    issuer.vouches_for(acme.email)
    data: dict[str, Any] = {**await browser.back(), "iss": named}
    before = issuer.asked("/token")

    assert problem(await browser.callback(data)) == REFUSED
    assert issuer.asked("/token") == before


async def test_an_issuer_that_never_names_itself_in_its_answers_needs_not(
    acme: Tenant, issuer: LocalIssuer, browser: Browser
) -> None:
    issuer.will(
        metadata={"authorization_response_iss_parameter_supported": False},
        claims={"email": acme.email, "email_verified": True},
    )
    data = await browser.back()
    del data["iss"]

    assert (await browser.callback(data)).status_code == 200


async def test_an_attempt_with_one_provider_does_not_end_with_another(
    acme: Tenant, issuer: LocalIssuer, settings: Settings
) -> None:
    issuer.vouches_for(acme.email)
    with local_issuer() as second:
        second.vouches_for(acme.email)
        async with trusting(settings, provider(issuer), provider(second, "second")) as application:
            browser = Browser(application)
            data = await browser.back("local")

            assert problem(await browser.callback({**data, "iss": second.url}, "second")) == REFUSED
            assert second.asked("/token") == 0


async def test_metadata_of_another_issuer_are_not_believed(issuer: LocalIssuer, browser: Browser) -> None:
    issuer.will(metadata={"issuer": "https://accounts.example"})

    assert problem(await browser.start()) == AWAY


@pytest.mark.parametrize("endpoint", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://127.0.0.1/", "https://user@127.0.0.1/", ""])
async def test_an_endpoint_that_is_no_https_address_is_not_used(
    issuer: LocalIssuer, browser: Browser, endpoint: str, url: str
) -> None:
    issuer.will(metadata={endpoint: url})

    assert problem(await browser.start()) == AWAY


@pytest.mark.parametrize("endpoint", ["token_endpoint", "jwks_uri"])
async def test_metadata_lead_nowhere_inside(issuer: LocalIssuer, browser: Browser, endpoint: str) -> None:
    issuer.will(metadata={endpoint: "https://169.254.169.254/latest/meta-data"})

    assert problem(await browser.sign_in()) == AWAY


@pytest.mark.parametrize(
    "answer",
    [
        {"seconds": SECONDS + 0.2},
        {"bytes": 5_000_000},
        {"status": 500},
        {"status": 302, "location": "http://127.0.0.1:1/"},
        {"body": []},
        {"body": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [DISCOVERY, "/jwks", "/token"])
async def test_an_issuer_that_is_slow_or_huge_or_broken_is_away_and_nothing_hangs(
    issuer: LocalIssuer, browser: Browser, path: str, answer: dict[str, Any]
) -> None:
    issuer.will(answers={path: answer})
    began = time.monotonic()

    if path == DISCOVERY:
        outcome = await browser.start()
    else:
        outcome = await browser.sign_in()

    assert problem(outcome) == AWAY
    assert "retry-after" in outcome.headers
    assert time.monotonic() - began < SECONDS + 4


async def test_an_issuer_that_is_down_is_away(settings: Settings) -> None:
    with local_issuer() as gone:
        pass
    async with trusting(settings, provider(gone)) as application:
        assert problem(await Browser(application).start()) == AWAY


async def test_an_issuer_that_fails_is_asked_once_however_many_want_in(issuer: LocalIssuer, browser: Browser) -> None:
    issuer.will(answers={DISCOVERY: {"status": 500}})
    before = issuer.asked(DISCOVERY)

    answers = await asyncio.gather(*(browser.start() for _ in range(20)))

    assert {problem(answer) for answer in answers} == {AWAY}
    assert problem(await browser.start()) == AWAY
    assert issuer.asked(DISCOVERY) == before + 1


async def test_metadata_and_keys_are_kept(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.vouches_for(acme.email)
    before = {path: issuer.asked(path) for path in (DISCOVERY, "/jwks")}

    for _ in range(3):
        assert (await browser.sign_in()).status_code == 200

    assert {path: issuer.asked(path) - count for path, count in before.items()} == {DISCOVERY: 1, "/jwks": 1}


async def test_keys_that_the_issuer_changed_are_learnt(
    acme: Tenant, issuer: LocalIssuer, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.vouches_for(acme.email)
    assert (await browser.sign_in()).status_code == 200
    issuer.will(rotate=True, claims={"sub": f"subject of {acme.email}"})

    assert problem(await browser.sign_in()) == REFUSED  # within seconds of the last look, there is no other
    monkeypatch.setattr("core.identity.oidc.issuer.PATIENCE_SECONDS", 0.0)
    assert (await browser.sign_in()).status_code == 200


async def test_unknown_key_ids_do_not_make_us_a_flood(acme: Tenant, issuer: LocalIssuer, browser: Browser) -> None:
    issuer.will(signing="unknown id", claims={"email": acme.email, "email_verified": True})
    before = issuer.asked("/jwks")

    for _ in range(5):
        assert problem(await browser.sign_in()) == REFUSED

    assert issuer.asked("/jwks") == before + 1
