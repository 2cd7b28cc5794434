"""Merging contacts that are one person: what is kept, what moves, what old ids answer, and undoing all of it."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from importing import CONTACTS, add, contacts, hash_of, imported

from core import clock
from core.testing.tenants import Tenant

MERGES = "/api/v1/networking/merges"
TABLES = (
    "networking.contacts",
    "networking.contact_interactions",
    "networking.contact_merges",
    "networking.contact_stages",
)


async def merge(
    tenant: Tenant, survivor: dict[str, Any], other: dict[str, Any], **choices: list[str]
) -> dict[str, Any]:
    body = {"other_id": other["id"]} | choices
    answer = await tenant.client.post(f"{CONTACTS}/{survivor['id']}/merges", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def undo(tenant: Tenant, merged: dict[str, Any]) -> Any:
    return await tenant.client.post(f"{MERGES}/{merged['id']}/undo")


async def shown(tenant: Tenant, contact: dict[str, Any]) -> dict[str, Any]:
    return (await tenant.client.get(f"{CONTACTS}/{contact['id']}")).json()


async def log_call(tenant: Tenant, contact: dict[str, Any], date: str) -> None:
    body = {"interaction_type": "call", "interaction_date": f"{date}T10:00:00Z"}
    answer = await tenant.client.post(f"{CONTACTS}/{contact['id']}/interactions", json=body)
    assert answer.status_code == 201, answer.text


async def calls_with(tenant: Tenant, contact: dict[str, Any]) -> list[str]:
    items = (await tenant.client.get(f"{CONTACTS}/{contact['id']}/interactions")).json()["items"]
    return [item["interaction_date"][:10] for item in items]


async def two(tenant: Tenant) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two contacts that know different things of one person, with a history each."""
    one = await add(
        tenant,
        first_name="Kate",
        last_name="Johnson",
        email="kate@example.com",
        company="Engines",
        marketing_consent="granted",
        metadata={"booth": 7, "vip": True},
    )
    other = await add(
        tenant,
        first_name="Katherine",
        email="k.johnson@example.com",
        additional_emails=["kj@example.com"],
        phone="+44 20 7946 0018",
        linkedin_url="https://www.linkedin.com/in/kj",
        company="Analytical Engines",
        contact_type="contact",
        marketing_consent="withdrawn",
        metadata={"booth": 9, "source": "fair"},
    )
    await log_call(tenant, one, "2026-03-01")
    await log_call(tenant, other, "2026-03-05")
    return one, other


async def hashes(tenant: Tenant) -> list[str]:
    return [await hash_of(tenant, table) for table in TABLES]


async def test_the_survivor_keeps_its_own_and_takes_what_it_lacks(acme: Tenant) -> None:
    one, other = await two(acme)

    merged = await merge(acme, one, other)

    after = await shown(acme, one)
    assert (after["first_name"], after["company"], after["email"]) == ("Kate", "Engines", "kate@example.com")
    assert (after["phone"], after["linkedin_url"]) == (other["phone"], other["linkedin_url"])
    assert after["additional_emails"] == ["k.johnson@example.com", "kj@example.com"]
    assert after["metadata"] == {"booth": 7, "vip": True, "source": "fair"}
    assert after["marketing_consent"] == "withdrawn"
    assert after["last_interaction"] == "2026-03-05T10:00:00Z"
    assert merged["moved_interactions"] == 1
    assert await calls_with(acme, one) == ["2026-03-05", "2026-03-01"]
    assert [contact["id"] for contact in await contacts(acme)] == [one["id"]]
    assert await contacts(acme, is_deleted=True) == []


async def test_every_field_can_be_chosen_from_either_side_but_consent(acme: Tenant) -> None:
    one, other = await two(acme)

    await merge(acme, one, other, take=["first_name", "email", "company", "metadata"], keep=["phone"])

    after = await shown(acme, one)
    assert (after["first_name"], after["company"], after["phone"]) == ("Katherine", "Analytical Engines", None)
    assert (after["email"], after["metadata"]) == ("k.johnson@example.com", {"booth": 9, "source": "fair"})
    assert after["additional_emails"] == ["kate@example.com", "kj@example.com"]
    assert after["marketing_consent"] == "withdrawn"


@pytest.mark.parametrize("consents", [("granted", "unknown", "unknown"), ("withdrawn", "granted", "withdrawn")])
async def test_the_strictest_consent_wins(acme: Tenant, consents: tuple[str, str, str]) -> None:
    one = await add(acme, marketing_consent=consents[0])
    other = await add(acme, marketing_consent=consents[1])

    await merge(acme, one, other)

    assert (await shown(acme, one))["marketing_consent"] == consents[2]


async def test_a_preview_tells_what_the_merge_does_and_does_nothing(acme: Tenant) -> None:
    one, other = await two(acme)
    before = await hashes(acme)
    body = {"other_id": other["id"], "take": ["company"]}

    preview = (await acme.client.post(f"{CONTACTS}/{one['id']}/merges/preview", json=body)).json()
    untouched = await hashes(acme)
    real = await merge(acme, one, other, take=["company"])

    assert untouched == before
    assert preview["changes"] == real["changes"] != []
    company = next(change for change in preview["changes"] if change["field"] == "company")
    assert company == {
        "field": "company",
        "survivor": "Engines",
        "other": "Analytical Engines",
        "result": "Analytical Engines",
    }
    assert (preview["id"], preview["undo_until"]) == (None, None)


async def test_an_old_id_answers_with_the_survivor_through_every_merge(acme: Tenant) -> None:
    a, b, c = [await add(acme, first_name=name) for name in "ABC"]
    await merge(acme, b, a)
    await merge(acme, c, b)
    call = {"interaction_type": "call", "interaction_date": "2026-03-01T10:00:00Z"}

    for old in (a, b):
        answer = await acme.client.get(f"{CONTACTS}/{old['id']}")
        assert (answer.status_code, answer.json()["id"]) == (200, c["id"])
        assert answer.headers["content-location"] == f"{CONTACTS}/{c['id']}"
    assert "content-location" not in (await acme.client.get(f"{CONTACTS}/{c['id']}")).headers
    patched = await acme.client.patch(f"{CONTACTS}/{a['id']}", json={"company": "Engines"})
    logged = await acme.client.post(f"{CONTACTS}/{a['id']}/interactions", json=call)
    assert patched.json()["id"] == logged.json()["contact_id"] == c["id"]
    assert await calls_with(acme, a) == ["2026-03-01"]


async def test_an_old_id_deletes_nobody_and_restores_nobody(acme: Tenant) -> None:
    one, other = await two(acme)
    await merge(acme, one, other)
    url = f"{CONTACTS}/{other['id']}"

    deleted, restored = await acme.client.delete(url), await acme.client.post(f"{url}/restore")

    for answer in (deleted, restored):
        assert (answer.status_code, answer.json()["code"]) == (409, "merged")
        assert answer.json()["conflicts_with"] == [one["id"]]
    assert (await shown(acme, one))["id"] == one["id"]


async def test_what_only_the_merged_one_had_still_finds_the_survivor(acme: Tenant) -> None:
    one, other = await two(acme)
    await merge(acme, one, other, keep=["phone"])

    refused = await acme.client.post(CONTACTS, json={"first_name": "K", "phone": "+442079460018"})
    job = await imported(acme, b"email,job_title\nkj@example.com,Engineer\n", mode="update")

    assert (refused.status_code, refused.json()["conflicts_with"]) == (409, [one["id"]])
    assert job["rows_updated"] == 1
    assert (await shown(acme, one))["job_title"] == "Engineer"


async def test_fields_of_ones_own_are_chosen_one_by_one_and_put_back_one_by_one(acme: Tenant) -> None:
    for key in "abcdef":
        body = {"key": key, "label": key, "kind": "text"}
        (await acme.client.post("/api/v1/networking/custom-fields", json=body)).raise_for_status()
    one = await add(acme, custom={"a": "1", "b": "1", "c": "1", "f": "1"})
    other, third = await add(acme, custom={"a": "2", "b": "2", "d": "2", "e": "2"}), await add(acme, custom={"e": "3"})
    url, body = f"{CONTACTS}/{one['id']}/merges/preview", {"other_id": other["id"]}

    seen = {}
    for take, keep in (
        ([], []),
        (["custom.a", "custom.c"], ["custom.d", "custom.a"]),
        (["custom"], ["custom.f"]),
        (["custom.b"], ["custom"]),
    ):
        answer = await acme.client.post(url, json={**body, "take": take, "keep": keep})
        changes = {change["field"]: change["result"] for change in answer.json()["changes"]}
        seen[(*take, *keep)] = changes
    unknown = await acme.client.post(url, json={**body, "keep": ["custom.a", "custom.nobody"]})

    assert list(seen.values()) == [
        {"custom.d": "2", "custom.e": "2"},
        {"custom.c": None, "custom.e": "2"},
        {"custom.a": "2", "custom.b": "2", "custom.c": None, "custom.d": "2", "custom.e": "2"},
        {"custom.b": "2"},
    ]
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "keep.1")
    first = await merge(acme, one, other, take=["custom.a"], keep=["custom.e"])
    second = await merge(acme, one, third)
    assert (await shown(acme, one))["custom"] == {"a": "2", "b": "1", "c": "1", "d": "2", "e": "3", "f": "1"}
    assert (await undo(acme, first)).json()["kept"] == []
    assert (await shown(acme, one))["custom"] == {"a": "1", "b": "1", "c": "1", "e": "3", "f": "1"}
    assert (await undo(acme, second)).json()["kept"] == []
    again = await merge(acme, one, other, take=["custom"])
    await acme.client.patch(f"{CONTACTS}/{one['id']}", json={"custom": {"a": "by hand"}})
    assert (await undo(acme, again)).json()["kept"] == ["custom.a"]
    assert (await shown(acme, one))["custom"] == {"a": "by hand", "b": "1", "c": "1", "f": "1"}
    assert [(await shown(acme, each))["custom"] for each in (other, third)] == [other["custom"], third["custom"]]


async def test_undone_everything_is_as_it_was(acme: Tenant) -> None:
    one, other = await two(acme)
    before = await hashes(acme)
    merged = await merge(acme, one, other, take=["first_name", "company", "contact_type"])
    assert await hashes(acme) != before

    answer = await undo(acme, merged)

    assert answer.json() == {"survivor_id": one["id"], "restored_id": other["id"], "kept": []}
    assert await hashes(acme) == before
    assert await calls_with(acme, other) == ["2026-03-05"]
    assert (await undo(acme, merged)).status_code == 404


async def test_a_form_that_was_opened_while_merged_is_refused_after_the_undo(acme: Tenant) -> None:
    one, other = await two(acme)
    merged = await merge(acme, one, other)
    url = f"{CONTACTS}/{one['id']}"
    opened = (await acme.client.get(url)).headers["etag"]
    await undo(acme, merged)

    answer = await acme.client.patch(url, json={"company": "Stale"}, headers={"if-match": opened})

    assert answer.status_code == 412


async def test_what_people_did_after_the_merge_stays(acme: Tenant) -> None:
    one, other = await two(acme)
    merged = await merge(acme, one, other, take=["company"])
    await acme.client.patch(f"{CONTACTS}/{one['id']}", json={"company": "Later", "notes": "met"})
    await log_call(acme, one, "2026-03-03")

    answer = await undo(acme, merged)

    after = await shown(acme, one)
    assert answer.json()["kept"] == ["company"]
    assert (after["company"], after["notes"], after["phone"]) == ("Later", "met", None)
    assert await calls_with(acme, one) == ["2026-03-03", "2026-03-01"]
    assert after["last_interaction"] == "2026-03-03T10:00:00Z"
    assert (await shown(acme, other))["company"] == "Analytical Engines"


async def test_a_chain_is_undone_from_its_end(acme: Tenant) -> None:
    a, b, c = [await add(acme, first_name=name, email=f"{name}@x.example") for name in "ABC"]
    await log_call(acme, a, "2026-03-01")
    before = await hashes(acme)
    first = await merge(acme, b, a)
    between = await hashes(acme)
    second = await merge(acme, c, b)
    assert await calls_with(acme, c) == ["2026-03-01"]

    early = await undo(acme, first)
    assert (early.status_code, early.json()["code"]) == (409, "merged-since")
    assert early.json()["conflicts_with"] == [second["id"]]
    assert (await undo(acme, second)).status_code == 200
    assert await hashes(acme) == between
    assert (await undo(acme, first)).status_code == 200
    assert await hashes(acme) == before


async def test_two_merges_into_one_are_undone_the_later_first(acme: Tenant) -> None:
    a, b, c = [await add(acme, first_name=name, email=f"{name}@x.example") for name in "ABC"]
    before = await hashes(acme)
    first = await merge(acme, c, a)
    second = await merge(acme, c, b)

    early = await undo(acme, first)
    late = [(await undo(acme, merged)).status_code for merged in (second, first)]

    assert (early.status_code, early.json()["code"]) == (409, "merged-since")
    assert late == [200, 200]
    assert await hashes(acme) == before


async def test_after_thirty_days_a_merge_is_for_good(acme: Tenant) -> None:
    one, other = await two(acme)
    merged = await merge(acme, one, other)

    with time_machine.travel(clock.now() + timedelta(days=30, minutes=1), tick=True):
        login = {"email": acme.email, "password": "a-password-for-tests-only"}
        token = (await acme.client.post("/api/v1/auth/login", json=login)).json()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        answer = await acme.client.post(f"{MERGES}/{merged['id']}/undo", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (409, "undo-expired")


async def test_of_merges_that_want_the_same_contact_at_once_one_wins(acme: Tenant) -> None:
    wanted = await add(acme, first_name="Wanted")
    others = [await add(acme, first_name=f"S{number}") for number in range(6)]
    bodies = [(survivor["id"], wanted["id"]) for survivor in others]
    bodies += [(wanted["id"], other["id"]) for other in others[:1]]

    answers = await asyncio.gather(
        *(acme.client.post(f"{CONTACTS}/{one}/merges", json={"other_id": two}) for one, two in bodies[:6])
    )

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"merged"}
    assert len(await contacts(acme)) == 6


async def test_two_who_merge_each_other_at_once_end_as_one(acme: Tenant) -> None:
    one, other = await two(acme)

    answers = await asyncio.gather(
        acme.client.post(f"{CONTACTS}/{one['id']}/merges", json={"other_id": other["id"]}),
        acme.client.post(f"{CONTACTS}/{other['id']}/merges", json={"other_id": one["id"]}),
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len(await contacts(acme)) == 1


async def test_what_can_not_be_merged_is_told(acme: Tenant, globex: Tenant) -> None:
    one, theirs = await add(acme), await add(globex)
    gone = await add(acme)
    await acme.client.delete(f"{CONTACTS}/{gone['id']}")
    url = f"{CONTACTS}/{one['id']}/merges"

    itself = await acme.client.post(url, json={"other_id": one["id"]})
    absent = [await acme.client.post(url, json={"other_id": each}) for each in (gone["id"], theirs["id"], str(uuid4()))]
    stale = await acme.client.post(url, json={"other_id": one["id"][:-4] + "0000"}, headers={"if-match": '"7"'})

    assert (itself.status_code, itself.json()["code"]) == (422, "same-contact")
    assert [answer.status_code for answer in absent] == [404] * 3
    assert stale.status_code == 412


async def test_merges_that_stand_are_listed(acme: Tenant) -> None:
    one, other = await two(acme)
    merged = await merge(acme, one, other)

    listed = (await acme.client.get(MERGES, params={"survivor_id": one["id"]})).json()["items"]
    others = (await acme.client.get(MERGES, params={"survivor_id": other["id"]})).json()["items"]

    assert [(item["id"], item["merged_id"]) for item in listed] == [(merged["id"], other["id"])]
    assert others == []
