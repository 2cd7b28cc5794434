"""The trail over HTTP: who may see it, page by page, filtered, as a file; and looks at it are in it as well."""

from typing import Any

import msgspec
import pytest

from core.permissions import Role
from core.testing.tenants import Tenant, make_member
from tests.audit.conftest import AUDIT, CONTACTS, add_contact, entries


async def listed(tenant: Tenant, **query: Any) -> list[dict[str, Any]]:
    answer = await tenant.client.get(AUDIT, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@pytest.mark.parametrize("path", ["", "/verify", "/export.ndjson"])
@pytest.mark.parametrize(("role", "status"), [(Role.ADMIN, 200), (Role.MANAGER, 403), (Role.VIEWER, 403)])
async def test_administrators_alone_see_the_trail(acme: Tenant, path: str, role: Role, status: int) -> None:
    member = await make_member(acme, role)

    answer = await member.client.get(f"{AUDIT}{path}")

    assert answer.status_code == status


async def test_pages_are_newest_first_and_stable_while_entries_are_added(acme: Tenant) -> None:
    made = [await add_contact(acme) for _ in range(5)]
    first = (await acme.client.get(AUDIT, params={"table_name": "networking.contacts", "limit": 2})).json()
    await add_contact(acme)
    seen = [item["record_id"] for item in first["items"]]
    cursor = first["next_cursor"]

    while cursor is not None:
        query = {"table_name": "networking.contacts", "limit": 2, "cursor": cursor}
        page = (await acme.client.get(AUDIT, params=query)).json()
        seen += [item["record_id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert seen == made[::-1]


async def test_each_filter_keeps_what_fits(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)
    theirs, own = await add_contact(member), await add_contact(acme)
    await acme.client.delete(f"{CONTACTS}/{own}")
    (between,) = await listed(acme, record_id=own, action="delete")

    of_member = await listed(acme, table_name="networking.contacts", user_id=member.user_id)
    assert [item["record_id"] for item in of_member] == [theirs]
    assert [item["action"] for item in await listed(acme, record_id=own)] == ["delete", "create"]
    assert [item["record_id"] for item in await listed(acme, action="delete")] == [own]
    assert [item["id"] for item in await listed(acme, since=between["created_at"])] == [between["id"]]
    assert between["id"] not in {item["id"] for item in await listed(acme, until=between["created_at"], limit=200)}
    assert await listed(acme, table_name="networking.nothing") == []


@pytest.mark.parametrize(
    "query",
    [
        {"since": "2026-03-01T09:30:00"},
        {"since": "yesterday"},
        {"action": "peek"},
        {"record_id": "7"},
        {"table_name": "contacts"},
        {"table_name": "core.users; DROP TABLE core.users"},
        {"sort": "user_id"},
        {"entity": "core.users"},
        {"limit": 201},
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(acme: Tenant, query: dict[str, Any]) -> None:
    answer = await acme.client.get(AUDIT, params=query)

    assert answer.status_code in {400, 422}
    assert answer.json()["errors"] != []


async def test_another_organization_sees_nothing_of_it(acme: Tenant, globex: Tenant) -> None:
    made = await add_contact(acme, company="Analytical Engines")

    answers = [await globex.client.get(f"{AUDIT}{path}") for path in ("", f"?record_id={made}", "/export.ndjson")]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert not any(made in answer.text or "Analytical" in answer.text for answer in answers)


async def test_the_file_has_one_entry_a_line_in_the_order_of_sealing(acme: Tenant) -> None:
    for _ in range(3):
        await add_contact(acme)
    before = await entries(acme.database, organization_id=acme.organization_id)

    answer = await acme.client.get(f"{AUDIT}/export.ndjson")

    lines = [msgspec.json.decode(line) for line in answer.content.splitlines()]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.ndjson"'
    assert [line["id"] for line in lines[:-1]] == [str(entry.id) for entry in before]
    assert (lines[-1]["action"], lines[-1]["table_name"]) == ("read", "core.audit_logs")
    assert lines[0].keys() == (await listed(acme))[0].keys()


@pytest.mark.parametrize(
    ("path", "table", "metadata"),
    [
        (f"{AUDIT}/export.ndjson", "core.audit_logs", {"format": "ndjson"}),
        (
            f"{CONTACTS}/export.csv?status=hot_lead&q=ada",
            "networking.contacts",
            {"format": "csv", "filters": {"status": "hot_lead", "q": "ada"}},
        ),
    ],
)
async def test_taking_data_out_is_noted_with_who_and_what(
    acme: Tenant, path: str, table: str, metadata: dict[str, Any]
) -> None:
    answer = await acme.client.get(path)

    assert answer.status_code == 200
    (noted,) = await listed(acme, action="read")
    assert (noted["table_name"], noted["metadata"], noted["user_id"]) == (table, metadata, str(acme.user_id))
    assert noted["correlation_id"] == answer.headers["x-correlation-id"]
    assert (noted["record_id"], noted["old_values"], noted["new_values"]) == (None, None, None)


async def test_a_look_that_is_refused_is_not_noted(acme: Tenant) -> None:
    member = await make_member(acme, Role.MEMBER)

    refused = await member.client.get(f"{CONTACTS}/export.csv")

    assert refused.status_code == 403
    assert await listed(acme, action="read") == []


@pytest.mark.parametrize("query", [{"number": 1}, {"hash": "0" * 64}, {"number": 1, "hash": "short"}, {"after": -1}])
async def test_a_head_is_a_number_and_a_hash(acme: Tenant, query: dict[str, Any]) -> None:
    answer = await acme.client.get(f"{AUDIT}/verify", params=query)

    assert answer.status_code == 422
    assert answer.json()["errors"] != []
