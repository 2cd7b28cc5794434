"""Linking a service with one's account while signed in, seeing what is linked, and ending it."""

import httpx
from factors import code_of, turn_on
from issuing import OIDC, Browser, LocalIssuer
from test_oidc import email_with, identities_of, problem

from core.app import Application
from core.testing.tenants import PASSWORD, Tenant, client_of

IDENTITIES = f"{OIDC}/identities"


def signed_in(application: Application, tenant: Tenant) -> Browser:
    """The person's browser, at the application that knows the issuer."""
    browser = Browser(application)
    browser.client = client_of(application, token=tenant.client.headers["authorization"].removeprefix("Bearer "))
    return browser


async def link(browser: Browser, *, password: str = PASSWORD) -> httpx.Response:
    return await browser.client.post(f"{OIDC}/local/link", json={"password": password})


async def returned(browser: Browser) -> dict[str, str]:
    """From the beginning of a link to the issuer and back."""
    began = (await link(browser)).json()
    return {**await browser.visit(began["authorization_url"]), "browser_secret": began["browser_secret"]}


async def test_a_signed_in_person_links_an_identity_of_any_address(
    acme: Tenant, issuer: LocalIssuer, trustful: Application
) -> None:
    issuer.will(claims={"sub": f"microsoft says {acme.email}"})  # and nothing of an address
    browser = signed_in(trustful, acme)
    assert problem(await browser.sign_in()) == (403, "oidc-not-linked")

    linked = await browser.callback(await returned(browser))

    assert await email_with(browser, linked) == acme.email
    assert await email_with(browser, await browser.sign_in()) == acme.email


async def test_linking_takes_the_password(acme: Tenant, trustful: Application, browser: Browser) -> None:
    assert problem(await link(signed_in(trustful, acme), password="another-password")) == (403, "wrong-password")
    assert (await link(browser)).status_code == 401  # nor does anybody link who is not signed in


async def test_a_link_dies_with_the_session_that_began_it(
    acme: Tenant, issuer: LocalIssuer, trustful: Application
) -> None:
    """Whoever got in, and is put out by a sign-out or a new password, leaves no door behind."""
    issuer.will(claims={"sub": f"thief of {acme.email}"})
    browser = signed_in(trustful, acme)
    data = await returned(browser)
    assert (await browser.client.post("/api/v1/auth/logout")).status_code == 204

    assert problem(await browser.callback(data)) == (401, "oidc-refused")
    assert await identities_of(acme.database, acme.user_id) == []


async def test_an_identity_is_of_one_person(
    acme: Tenant, globex: Tenant, issuer: LocalIssuer, trustful: Application
) -> None:
    issuer.vouches_for(acme.email)
    mine, theirs = signed_in(trustful, acme), signed_in(trustful, globex)
    assert (await mine.callback(await returned(mine))).status_code == 200

    assert problem(await theirs.callback(await returned(theirs))) == (409, "oidc-linked-otherwise")
    assert (await mine.callback(await returned(mine))).status_code == 200  # linking once more changes nothing
    assert await identities_of(acme.database, globex.user_id) == []


async def test_a_person_has_one_identity_of_an_issuer(acme: Tenant, issuer: LocalIssuer, trustful: Application) -> None:
    browser = signed_in(trustful, acme)
    issuer.vouches_for(acme.email, sub=f"one of {acme.email}")
    await browser.callback(await returned(browser))
    issuer.vouches_for(acme.email, sub=f"another of {acme.email}")

    assert problem(await browser.callback(await returned(browser))) == (409, "oidc-linked-otherwise")


async def test_the_session_after_linking_takes_the_second_factor(
    acme: Tenant, issuer: LocalIssuer, trustful: Application
) -> None:
    seed, _ = await turn_on(acme)
    issuer.vouches_for(acme.email)
    browser = signed_in(trustful, acme)
    data = await returned(browser)

    assert problem(await browser.callback(data)) == (401, "mfa-required")
    assert (await browser.second_factor(data, totp_code=code_of(seed))).status_code == 200


async def test_what_is_linked_is_listed_and_can_be_ended(
    acme: Tenant, globex: Tenant, issuer: LocalIssuer, trustful: Application
) -> None:
    issuer.vouches_for(acme.email)
    browser = signed_in(trustful, acme)
    await browser.callback(await returned(browser))

    (identity,) = (await browser.client.get(IDENTITIES)).json()["items"]
    assert identity["issuer"] == issuer.url
    assert (await globex.client.get(IDENTITIES)).json()["items"] == []
    assert (await globex.client.delete(f"{IDENTITIES}/{identity['id']}")).status_code == 404
    assert (await browser.client.delete(f"{IDENTITIES}/{identity['id']}")).status_code == 204
    assert (await browser.client.delete(f"{IDENTITIES}/{identity['id']}")).status_code == 404
    assert (await browser.client.get(IDENTITIES)).json()["items"] == []
