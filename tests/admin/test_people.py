"""People and sessions, as operators look after them."""

import re
from typing import Any

import httpx
import pytest

from core.ids import new_id
from core.permissions import Role
from core.testing.tenants import Tenant, client_of, make_member, make_operator
from tests.admin.conftest import SESSIONS, USERS, ask
from tests.identity.factors import code_of, sign_in, turn_on

ME = "/api/v1/users/me"


def person_url(tenant: Tenant, rest: str = "") -> str:
    return f"{USERS}/{tenant.user_id}{rest}"


async def test_a_person_is_found_by_name_address_and_organization(operator: Tenant, acme: Tenant) -> None:
    member = await make_member(acme, Role.VIEWER)

    by_address = await ask(operator, "GET", USERS, params={"q": member.email.upper()})
    by_name = await ask(operator, "GET", USERS, params={"q": "olu owner", "organization_id": str(acme.organization_id)})
    of_organization = await ask(operator, "GET", USERS, params={"organization_id": str(acme.organization_id)})

    assert [person["id"] for person in by_address["items"]] == [str(member.user_id)]
    assert [person["id"] for person in by_name["items"]] == [str(acme.user_id)]
    assert {person["id"] for person in of_organization["items"]} == {str(acme.user_id), str(member.user_id)}


async def test_who_never_signed_in_is_on_some_page_too(operator: Tenant, acme: Tenant) -> None:
    """A key that may be null is paged over in both directions."""
    async with acme.database.system() as system:
        await system.execute(_new_people(acme, 3))
    for sort in ("last_login", "-last_login"):
        seen: list[str] = []
        cursor = None
        while True:
            params = {"organization_id": str(acme.organization_id), "sort": sort, "limit": 1}
            page = await ask(operator, "GET", USERS, params=params | ({"cursor": cursor} if cursor else {}))
            seen += [person["id"] for person in page["items"]]
            if (cursor := page["next_cursor"]) is None:
                break

        assert len(seen) == len(set(seen)) == 4, sort


def _new_people(tenant: Tenant, count: int) -> Any:
    from sqlalchemy import text

    rows = ", ".join(f"(gen_random_uuid(), 'p{n}-{new_id()}@x.example')" for n in range(count))
    return text(
        f"WITH made AS (INSERT INTO core.users (id, email) VALUES {rows} RETURNING id) "
        "INSERT INTO core.memberships (organization_id, id, user_id, role) "
        f"SELECT '{tenant.organization_id}', gen_random_uuid(), id, 'viewer' FROM made"
    )


async def test_a_disabled_person_is_out_at_once_and_back_when_enabled(operator: Tenant, acme: Tenant) -> None:
    disabled = await ask(operator, "POST", person_url(acme, "/disable"))
    out = await acme.client.get(ME)
    refused = await sign_in(acme)
    enabled = await ask(operator, "POST", person_url(acme, "/enable"))

    assert (disabled["is_active"], out.status_code, refused.status_code) == (False, 401, 401)
    assert enabled["is_active"] is True
    assert (await acme.client.get(ME)).status_code == 401, "what was ended stays ended"
    assert (await sign_in(acme)).status_code == 200


async def test_signing_out_everywhere_ends_every_session(operator: Tenant, acme: Tenant) -> None:
    other = client_of(acme.application, token=(await sign_in(acme)).json()["access_token"])

    ended = await ask(operator, "POST", person_url(acme, "/sign-out"))

    assert ended == {"ended": 2}
    assert [(await client.get(ME)).status_code for client in (acme.client, other)] == [401, 401]


async def test_a_lost_second_factor_is_taken_off(operator: Tenant, acme: Tenant) -> None:
    seed, _ = await turn_on(acme)
    asked = await sign_in(acme)

    told = await ask(operator, "POST", person_url(acme, "/reset-mfa"))
    again = await ask(operator, "POST", person_url(acme, "/reset-mfa"), status=409)

    assert asked.json()["code"] == "mfa-required"
    assert (told["has_second_factor"], again["code"]) == (False, "mfa-not-on")
    assert (await acme.client.get(ME)).status_code == 401
    assert (await sign_in(acme, totp_code=code_of(seed))).status_code == 200, "no code is asked for any more"


@pytest.mark.parametrize("rest", ["/disable", "/reset-mfa"])
async def test_no_operator_gets_at_another_or_at_themselves(operator: Tenant, acme: Tenant, rest: str) -> None:
    other = await make_operator(acme)

    for person in (other, operator):
        refused = await ask(operator, "POST", person_url(person, rest), status=409)

        assert refused["code"] == "is-operator"
    assert (await other.client.get(ME)).status_code == 200


async def test_an_operator_may_be_signed_out_by_another(operator: Tenant, acme: Tenant) -> None:
    """A session of theirs that was stolen can't wait."""
    other = await make_operator(acme)

    await ask(operator, "POST", person_url(other, "/sign-out"))

    assert (await other.client.get(USERS)).status_code == 401


async def sessions_of(operator: Tenant, person: Tenant, **params: Any) -> list[dict[str, Any]]:
    page = await ask(operator, "GET", SESSIONS, params={"user_id": str(person.user_id), **params})
    return page["items"]


async def test_a_session_is_seen_and_ended(operator: Tenant, acme: Tenant) -> None:
    (session,) = await sessions_of(operator, acme, living=True)

    await ask(operator, "DELETE", f"{SESSIONS}/{session['id']}", status=204)
    again = await ask(operator, "DELETE", f"{SESSIONS}/{session['id']}", status=404)

    (ended,) = await sessions_of(operator, acme, living=False)
    assert (session["email"], session["living"]) == (acme.email, True)
    assert (ended["id"], ended["revoked_reason"], again["code"]) == (session["id"], "ended-by-operator", "not-found")
    assert (await acme.client.get(ME)).status_code == 401


@pytest.mark.parametrize("rest", ["", "/disable", "/enable", "/sign-out", "/reset-mfa"])
async def test_a_person_who_is_not_there_is_not_found(operator: Tenant, rest: str) -> None:
    answer: httpx.Response = await operator.client.request("POST" if rest else "GET", f"{USERS}/{new_id()}{rest}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_no_answer_holds_a_credential(operator: Tenant, acme: Tenant) -> None:
    await turn_on(acme)
    told = [
        await operator.client.get(url)
        for url in (person_url(acme), f"{USERS}?q={acme.email}", f"{SESSIONS}?user_id={acme.user_id}")
    ]

    for answer in told:
        assert answer.status_code == 200
        assert not re.search("argon2|password|seed|secret|token", answer.text)
