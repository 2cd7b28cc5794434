"""Organizations, as operators look after them."""

from datetime import timedelta

import pytest

from core import clock
from core.ids import new_id
from core.testing.tenants import PASSWORD, MakeTenant, Tenant, client_of
from tests.admin.conftest import ORGANIZATIONS, ask, open_again, organization_url, suspend
from tests.identity.letterbox import Letterbox, open_letterbox


async def test_the_list_is_searched_filtered_and_paged(operator: Tenant, new_tenant: MakeTenant) -> None:
    mark = f"m{new_id().hex[-12:]}"
    made = [await new_tenant(f"{mark}-{number}") for number in range(5)]
    await suspend(operator, made[0])

    pages, cursor = [], None
    while True:
        params = {"q": mark.upper(), "sort": "slug", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await ask(operator, "GET", ORGANIZATIONS, params=params)
        pages.append([tenant["slug"] for tenant in page["items"]])
        if (cursor := page["next_cursor"]) is None:
            break
    suspended = await ask(operator, "GET", ORGANIZATIONS, params={"q": mark, "status": "suspended"})

    assert pages == [[f"{mark}-0", f"{mark}-1"], [f"{mark}-2", f"{mark}-3"], [f"{mark}-4"]]
    assert [(t["slug"], t["state"], t["members"]) for t in suspended["items"]] == [(f"{mark}-0", "suspended", 1)]


async def test_a_percent_sign_is_looked_for_as_it_is(operator: Tenant) -> None:
    found = await ask(operator, "GET", ORGANIZATIONS, params={"q": f"%{new_id().hex}"})

    assert found == {"items": [], "next_cursor": None}


async def test_an_owner_is_invited_into_a_new_organization(operator: Tenant) -> None:
    slug = f"n-{new_id().hex[-12:]}"
    data = {"name": "New", "slug": slug, "owner_email": f"Owner@{slug}.example", "subscription_plan": "team"}
    person = {"password": PASSWORD, "first_name": "Nia", "last_name": "New"}

    async with open_letterbox(operator.application) as letterbox:
        made = await ask(operator, "POST", ORGANIZATIONS, status=201, json=data)
        token = await token_in(letterbox, f"owner@{slug}.example")
        anonymous = client_of(operator.application)
        joined = await anonymous.post("/api/v1/invitations/register", json={"token": token, **person})
    again = await ask(operator, "POST", ORGANIZATIONS, status=409, json=data)

    assert (made["slug"], made["subscription_plan"], made["state"], made["members"]) == (slug, "team", "active", 0)
    assert (joined.json()["slug"], joined.json()["role"]) == (slug, "owner")
    assert again["code"] == "slug-taken"


async def token_in(letterbox: Letterbox, address: str) -> str:
    await letterbox.deliver()
    return letterbox.last_to(address).token


async def test_a_plan_is_changed_unless_somebody_was_faster(operator: Tenant, acme: Tenant) -> None:
    read = await operator.client.get(organization_url(acme))
    headers = {"If-Match": read.headers["etag"]}

    changed = await ask(operator, "PATCH", organization_url(acme), json={"subscription_plan": "team"}, headers=headers)
    late = await operator.client.patch(organization_url(acme), json={"subscription_plan": "free"}, headers=headers)
    unknown = await operator.client.patch(organization_url(acme), json={"subscription_plan": "gold"})

    assert changed["subscription_plan"] == "team"
    assert (late.status_code, unknown.status_code) == (412, 422)
    assert (await acme.client.get("/api/v1/organizations/current/plan")).json()["name"] == "team"


async def test_a_deleted_organization_is_closed_and_can_be_brought_back(operator: Tenant, acme: Tenant) -> None:
    wrong = await ask(operator, "POST", organization_url(acme, "/deletion"), status=409, json={"slug": "other"})
    await ask(operator, "POST", organization_url(acme, "/deletion"), json={"slug": acme.slug})
    closed = await acme.client.get("/api/v1/users/me")
    again = await ask(operator, "POST", organization_url(acme, "/deletion"), status=404, json={"slug": acme.slug})

    back = await ask(operator, "POST", organization_url(acme, "/restore"))
    twice = await ask(operator, "POST", organization_url(acme, "/restore"), status=409)

    assert (wrong["code"], closed.status_code, again["code"]) == ("wrong-slug", 401, "not-found")
    assert (back["state"], twice["code"]) == ("active", "not-deleted")
    assert (await acme.client.get("/api/v1/users/me")).status_code == 200


async def test_after_the_grace_nobody_brings_it_back(operator: Tenant, acme: Tenant) -> None:
    deletion = await ask(operator, "POST", organization_url(acme, "/deletion"), json={"slug": acme.slug})

    await ask(operator, "POST", organization_url(acme, "/purge"), status=202, json={"slug": acme.slug})
    refused = await ask(operator, "POST", organization_url(acme, "/restore"), status=409)

    assert deletion["deletes_at"] > (clock.now() + timedelta(days=29)).isoformat()
    assert refused["code"] == "grace-over"


async def test_a_living_organization_is_not_purged(operator: Tenant, acme: Tenant) -> None:
    refused = await ask(operator, "POST", organization_url(acme, "/purge"), status=409, json={"slug": acme.slug})

    assert refused["code"] == "not-deleted"


async def test_an_operator_can_open_the_organization_that_they_themselves_are_in(operator: Tenant) -> None:
    await suspend(operator, operator)
    shut_out = await operator.client.get("/api/v1/users/me")

    opened = await open_again(operator, operator)

    assert (shut_out.status_code, opened["state"]) == (403, "active")
    assert (await operator.client.get("/api/v1/users/me")).status_code == 200


async def test_the_trail_of_the_organization_tells_what_an_operator_did_and_why(operator: Tenant, acme: Tenant) -> None:
    await suspend(operator, acme)
    await open_again(operator, acme)

    trail = (await acme.client.get("/api/v1/audit", params={"table_name": "core.organizations"})).json()["items"]

    closing = next(entry for entry in trail if entry["new_values"].get("suspended_reason"))
    assert closing["new_values"]["suspended_reason"] == "Unpaid"
    assert closing["user_id"] == str(operator.user_id)


@pytest.mark.parametrize("rest", ["", "/modules"])
async def test_an_organization_that_is_not_there_is_not_found(operator: Tenant, rest: str) -> None:
    answer = await operator.client.get(f"{ORGANIZATIONS}/{new_id()}{rest}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_a_module_is_previewed_switched_and_listed(operator: Tenant, acme: Tenant) -> None:
    url, contacts = organization_url(acme, "/modules/networking"), "/api/v1/networking/contacts"

    preview = await ask(operator, "PUT", url, json={"state": "suspended", "preview": True})
    before = await acme.client.get(contacts)
    done = await ask(operator, "PUT", url, json={"state": "suspended", "reason": "A bug"})
    after = await acme.client.get(contacts)
    listed = await ask(operator, "GET", organization_url(acme, "/modules"))

    step = {"module": "networking", "before": "enabled", "after": "suspended"}
    assert (preview["steps"], preview["done"], before.status_code) == ([step], False, 200)
    assert (done["steps"], done["done"], after.status_code) == ([step], True, 404)
    told = next(module for module in listed["items"] if module["name"] == "networking")
    assert (told["state"], told["reason"]) == ("suspended", "A bug")


async def test_a_switch_names_what_is_wrong_with_it(operator: Tenant, acme: Tenant) -> None:
    unknown = await operator.client.put(organization_url(acme, "/modules/nothing"), json={"state": "enabled"})
    settings = {"state": "enabled", "settings": {"zzz": 1}}
    bad = await operator.client.put(organization_url(acme, "/modules/networking"), json=settings)
    off = await operator.client.put(
        organization_url(acme, "/modules/networking"), json={"state": "disabled", "settings": {}}
    )

    assert (unknown.status_code, unknown.json()["code"]) == (404, "module-not-found")
    assert (bad.status_code, [e["field"] for e in bad.json()["errors"]]) == (422, ["zzz"])
    assert off.status_code == 409
