"""Contacts over HTTP: create, read, change, delete, restore, list, search, export."""

import asyncio
import csv
import io
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from core.tasks.models import DomainEvent
from core.testing.tenants import Tenant

CONTACTS = "/api/v1/networking/contacts"


async def add(tenant: Tenant, **values: Any) -> dict[str, Any]:
    answer = await tenant.client.post(CONTACTS, json={"first_name": "Ada", **values})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def names(tenant: Tenant, **params: Any) -> list[str]:
    answer = await tenant.client.get(CONTACTS, params=params)
    assert answer.status_code == 200, answer.text
    return [item["first_name"] for item in answer.json()["items"]]


async def events_of(tenant: Tenant) -> list[tuple[str, dict[str, Any]]]:
    async with tenant.database.system() as system:
        rows = await system.execute(
            select(DomainEvent.type, DomainEvent.payload)
            .where(DomainEvent.organization_id == tenant.organization_id)
            .order_by(DomainEvent.sequence)
        )
        return [(row.type, row.payload) for row in rows]


async def test_a_contact_comes_back_as_it_was_sent(acme: Tenant) -> None:
    sent = {
        "first_name": "Ada",
        "last_name": "Okafor",
        "email": "Ada.Okafor@Example.com",
        "phone": "+44 20 7946 0018",
        "company": "Analytical Engines",
        "job_title": "CEO",
        "linkedin_url": "https://www.linkedin.com/in/ada",
        "bio": "Mathematics 🧮",
        "avatar_url": "https://example.com/ada.png",
        "contact_type": "contact",
        "status": "hot_lead",
        "priority": "high",
        "business_type": "enterprise",
        "network_type": "referral",
        "industry": "Computing",
        "notes": "Met at the fair.\nLikes cats.",
        "metadata": {"booth": 7, "vip": True, "note": None, "ratio": 0.5},
    }

    created = await add(acme, **sent)
    answer = await acme.client.get(f"{CONTACTS}/{created['id']}")

    assert answer.json() == created
    assert {name: created[name] for name in sent} == {**sent, "email": "ada.okafor@example.com"}
    assert created["created_by"] == created["updated_by"] == str(acme.user_id)
    assert answer.headers["etag"].startswith('"1-')


async def test_a_change_touches_only_what_is_sent_and_null_empties(acme: Tenant) -> None:
    contact = await add(acme, last_name="Okafor", company="Engines", priority="low")

    answer = await acme.client.patch(f"{CONTACTS}/{contact['id']}", json={"company": None, "priority": "high"})

    changed = answer.json()
    assert (changed["company"], changed["priority"], changed["last_name"]) == (None, "high", "Okafor")
    assert changed["version"] == 2
    assert answer.headers["etag"].startswith('"2-')
    assert changed["updated_at"] > contact["updated_at"]


async def test_a_change_that_changes_nothing_leaves_the_version(acme: Tenant) -> None:
    contact = await add(acme, company="Engines")

    answer = await acme.client.patch(f"{CONTACTS}/{contact['id']}", json={"company": "Engines"})

    assert answer.json()["version"] == 1


async def test_a_stale_if_match_is_refused_and_changes_nothing(acme: Tenant) -> None:
    contact = await add(acme)
    url = f"{CONTACTS}/{contact['id']}"
    await acme.client.patch(url, json={"company": "First"}, headers={"if-match": '"1"'})

    stale = await acme.client.patch(url, json={"company": "Second"}, headers={"if-match": '"1"'})
    weak = await acme.client.delete(url, headers={"if-match": 'W/"2"'})

    assert stale.status_code == weak.status_code == 412
    assert (await acme.client.get(url)).json()["company"] == "First"


async def test_of_concurrent_changes_to_one_version_one_wins(acme: Tenant) -> None:
    contact = await add(acme)
    url = f"{CONTACTS}/{contact['id']}"

    answers = await asyncio.gather(
        *(acme.client.patch(url, json={"company": f"C{i}"}, headers={"if-match": '"1"'}) for i in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 7]
    winner = next(answer.json()["company"] for answer in answers if answer.status_code == 200)
    assert (await acme.client.get(url)).json()["company"] == winner


async def test_a_deleted_contact_is_gone_until_it_is_restored(acme: Tenant) -> None:
    contact = await add(acme)
    url = f"{CONTACTS}/{contact['id']}"

    assert (await acme.client.delete(url)).status_code == 204

    assert (await acme.client.get(url)).status_code == 404
    assert (await acme.client.patch(url, json={})).status_code == 404
    assert (await acme.client.delete(url)).status_code == 404
    assert await names(acme) == []
    assert await names(acme, is_deleted=True) == ["Ada"]
    restored = await acme.client.post(f"{url}/restore")
    assert (restored.status_code, restored.json()["is_deleted"]) == (200, False)
    assert await names(acme) == ["Ada"]
    assert (await acme.client.post(f"{url}/restore")).status_code == 409


async def test_every_change_is_an_event_in_order(acme: Tenant) -> None:
    contact = await add(acme)
    url = f"{CONTACTS}/{contact['id']}"
    for values in ({"company": "Engines"}, {"company": "Engines"}, {"tags": ["VIP"]}, {"tags": ["vip"]}):
        await acme.client.patch(url, json=values)
    await acme.client.delete(url)
    await acme.client.post(f"{url}/restore")

    assert await events_of(acme) == [
        ("networking.contact_created", {"contact_id": contact["id"]}),
        ("networking.contact_updated", {"contact_id": contact["id"], "changed": ["company"]}),
        ("networking.contact_updated", {"contact_id": contact["id"], "changed": ["tags"]}),
        ("networking.contact_deleted", {"contact_id": contact["id"]}),
        ("networking.contact_restored", {"contact_id": contact["id"]}),
    ]


async def test_filters_narrow_the_list_together(acme: Tenant) -> None:
    await add(
        acme, first_name="A", status="hot_lead", priority="high", industry="Law", contact_type="contact", phone="1"
    )
    await add(acme, first_name="B", status="hot_lead", priority="low", industry="Law")
    await add(acme, first_name="C", status="cold_lead", priority="high", industry="Food")

    assert await names(acme, status="hot_lead", sort="first_name") == ["A", "B"]
    assert await names(acme, status="hot_lead", priority="high") == ["A"]
    assert await names(acme, industry="Food", contact_type="contact") == []


@pytest.mark.parametrize("sort", ["created_at", "first_name", "last_name", "company", "lead_score", "last_interaction"])
@pytest.mark.parametrize("direction", ["", "-"])
async def test_pages_hold_every_row_once_whatever_the_order(acme: Tenant, sort: str, direction: str) -> None:
    for index, company in enumerate(["B", None, "A", None, "B", "C", None]):
        await add(acme, first_name=f"N{index % 3}", last_name=f"L{index % 2}" if index else None, company=company)
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"sort": direction + sort, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await acme.client.get(CONTACTS, params=params)).json()
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break

    assert len({item["id"] for item in seen}) == len(seen) == 7
    keys = [(item[sort] is None, item[sort] or "", item["id"]) for item in seen]
    assert keys == sorted(keys, reverse=bool(direction))


async def test_a_list_is_stable_while_rows_are_added(acme: Tenant) -> None:
    for index in range(4):
        await add(acme, first_name=f"Old{index}")
    first = (await acme.client.get(CONTACTS, params={"limit": 2})).json()
    await add(acme, first_name="New")

    second = (await acme.client.get(CONTACTS, params={"limit": 2, "cursor": first["next_cursor"]})).json()

    shown = [item["first_name"] for item in first["items"] + second["items"]]
    assert shown == ["Old3", "Old2", "Old1", "Old0"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("ada", ["Ada"]),
        ("OKAFOR ada", ["Ada"]),
        ("engin", ["Ada"]),
        ("grace ada", []),
        ("100%", ["Grace"]),
        ("0%0", []),
        ("back\\slash", ["Grace"]),
        ("under_score", ["Grace"]),
        ("under-score", ["Grace"]),  # as it is spelt alike
        ("fifth floor", ["Ada"]),  # in the notes
        ("fif flo", ["Ada"]),
        ("ifth", []),
        ("o'brien & :* | !\\ '", []),
        ("é", ["Grace"]),
        ("   ", ["Grace", "Ada"]),
    ],
)
async def test_search_takes_every_word_literally(acme: Tenant, q: str, found: list[str]) -> None:
    await add(acme, first_name="Ada", last_name="Okafor", company="Analytical Engines", notes="Fifth floor")
    await add(acme, first_name="Grace", last_name="Éclair", company=r"100% under_score back\slash")

    assert await names(acme, q=q) == found


async def test_the_export_has_all_rows_and_disarms_formulas(acme: Tenant) -> None:
    await add(acme, first_name="=HYPERLINK(1)", company="@SUM", notes='quote " comma , line\nbreak', industry="Law")
    await add(acme, first_name="Grace", phone="+44 20", industry="Food")

    answer = await acme.client.get(f"{CONTACTS}/export.csv", params={"industry": "Law"})
    everything = await acme.client.get(f"{CONTACTS}/export.csv")

    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["first_name"], row["company"]) for row in rows] == [("'=HYPERLINK(1)", "'@SUM")]
    assert rows[0]["notes"] == 'quote " comma , line\nbreak'
    assert [row["phone"] for row in csv.DictReader(io.StringIO(everything.text))] == ["", "'+44 20"]


async def test_an_export_of_nothing_is_its_header(acme: Tenant) -> None:
    answer = await acme.client.get(f"{CONTACTS}/export.csv")

    assert answer.text.startswith("id,created_by,")
    assert len(answer.text.splitlines()) == 1


async def test_interactions_are_listed_and_move_last_interaction_forward_only(acme: Tenant) -> None:
    contact = await add(acme)
    url = f"{CONTACTS}/{contact['id']}"
    for date, status in (
        ("2026-03-02T10:00:00Z", "completed"),
        ("2026-03-01T10:00:00+01:00", "completed"),
        ("2026-03-09T10:00:00Z", "cancelled"),
        ("2031-01-01T00:00:00Z", "scheduled"),
    ):
        body = {"interaction_type": "call", "interaction_date": date, "status": status, "subject": date}
        answer = await acme.client.post(f"{url}/interactions", json=body)
        assert answer.status_code == 201, answer.text

    listed = (await acme.client.get(f"{url}/interactions")).json()["items"]
    assert [item["interaction_date"][:10] for item in listed] == [
        "2031-01-01",
        "2026-03-09",
        "2026-03-02",
        "2026-03-01",
    ]
    after = (await acme.client.get(url)).json()
    assert after["last_interaction"] == "2026-03-02T10:00:00Z"
    assert after["version"] == 1, "logging is no edit: an open form must not be refused for it"


async def test_an_unknown_contact_has_no_interactions(acme: Tenant) -> None:
    url = f"{CONTACTS}/{uuid4()}/interactions"
    body = {"interaction_type": "call", "interaction_date": "2026-03-02T10:00:00Z"}

    assert (await acme.client.get(url)).status_code == 404
    assert (await acme.client.post(url, json=body)).status_code == 404
