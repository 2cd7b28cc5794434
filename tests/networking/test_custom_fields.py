"""Custom fields: values of each kind, wherever they come in; changed definitions lose nothing."""

import csv
import io
from typing import Any
from uuid import UUID

import pytest
from erasing import erase
from importing import CONTACTS, add, contacts, hash_of, imported, report, reverted, told, upload
from sqlalchemy import text

from core.permissions import Role
from core.privacy.rights import export_subject
from core.testing.rows import tenant_tables
from core.testing.tenants import Tenant, make_member

BASE = "/api/v1/networking"
FIELDS = f"{BASE}/custom-fields"
CHOICE = ["Gold", "Silver"]
RIGHT: dict[str, list[Any]] = {
    "text": ["x", " padded ", "é;=1+1"],
    "number": [0, -7, 2.5, 2**53 - 1],
    "boolean": [True, False],
    "date": ["2026-02-28", "0001-01-01"],
    "select": ["Gold"],
    "multi_select": [["Gold"], ["Gold", "Silver"]],
    "url": ["https://example.com/a?b=c"],
}
WRONG: dict[str, list[Any]] = {
    "text": ["", " \u2003", 1, True, ["x"], "x\0", "x" * 2001],
    "number": ["1", True, 2**53, 1e300, []],
    "boolean": [1, "true"],
    "date": ["2026-02-30", "2026-2-3", "28.02.2026", "2026-02-28T00:00:00Z", 20260228, "20260228"],
    "select": ["Bronze", "", ["Gold"], 1],
    "multi_select": ["Gold", ["Bronze"], ["Gold", 1], ["Gold", ""]],
    "url": ["example.com", "javascript:alert(1)", ""],
}


async def define(tenant: Tenant, kind: str, key: str | None = None, **values: Any) -> dict[str, Any]:
    options = {"options": CHOICE} if kind in {"select", "multi_select"} else {}
    body = {"key": key or kind, "label": f"The {key or kind}", "kind": kind, **options, **values}
    answer = await tenant.client.post(FIELDS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def change(tenant: Tenant, field: dict[str, Any], **values: Any) -> tuple[int, str | None]:
    answer = await tenant.client.patch(f"{FIELDS}/{field['id']}", json=values)
    return answer.status_code, answer.json().get("code")


async def set_to(tenant: Tenant, contact: dict[str, Any], **custom: Any) -> dict[str, Any]:
    answer = await tenant.client.patch(f"{CONTACTS}/{contact['id']}", json={"custom": custom})
    assert answer.status_code == 200, answer.text
    return answer.json()["custom"]


async def wrong_with(tenant: Tenant, method: str, url: str, /, **custom: Any) -> dict[str, str]:
    answer = await tenant.client.request(method, url, json={"first_name": "Ada", "custom": custom})
    assert answer.status_code == 422, (custom, answer.text)
    return {error["field"]: error["code"] for error in answer.json()["errors"]}


async def having(tenant: Tenant, wanted: str, **others: Any) -> list[str]:
    """First names, the same in the list as in the export."""
    params = {"custom": wanted, "sort": "first_name", **others}
    answer = await tenant.client.get(CONTACTS, params=params)
    assert answer.status_code == 200, answer.text
    names = [item["first_name"] for item in answer.json()["items"]]
    exported = await tenant.client.get(f"{CONTACTS}/export.csv", params={"custom": wanted})
    assert sorted(row["first_name"] for row in csv.DictReader(io.StringIO(exported.text))) == names
    return names


@pytest.mark.parametrize("kind", sorted(RIGHT))
async def test_a_value_is_of_its_fields_kind_wherever_it_comes_in(acme: Tenant, kind: str) -> None:
    """By hand, by a change, and by a file that an export wrote; in one answer, in the list and in a filter."""
    await define(acme, kind)
    url = f"{CONTACTS}/{(await add(acme))['id']}"

    for value in RIGHT[kind]:
        made = await add(acme, custom={kind: value})
        assert made["custom"] == {kind: value}
        assert (await acme.client.get(f"{CONTACTS}/{made['id']}")).json()["custom"] == {kind: value}
    for value in WRONG[kind]:
        for method, where in (("POST", CONTACTS), ("PATCH", url)):
            fields = await wrong_with(acme, method, where, **{kind: value})
            assert all(name.split(".")[:2] == ["custom", kind] for name in fields), (value, fields)

    exported = (await acme.client.get(f"{CONTACTS}/export.csv")).text
    rows = [row | {"id": ""} for row in csv.DictReader(io.StringIO(exported)) if row[f"custom.{kind}"]]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ["first_name", f"custom.{kind}"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(row | {"first_name": f"Copy {number}"} for number, row in enumerate(rows))
    job = await imported(acme, buffer.getvalue().encode())
    assert job["rows_created"] == len(RIGHT[kind]), job["errors"]
    copies = [item["custom"][kind] for item in await contacts(acme) if item["first_name"].startswith("Copy")]
    trimmed = [value.strip() if isinstance(value, str) else value for value in RIGHT[kind]]
    assert copies == trimmed


async def test_what_is_not_right_in_a_file_is_told_of_its_row_and_column(acme: Tenant) -> None:
    await define(acme, "number", "seats")
    await define(acme, "select", "tier", required=True)
    file = "first_name,Seats booked,THE  tier,custom.seats\nA,,silver,5\nB,,Bronze,many\nC,,,1\nD,,gold,\n"

    dry = await imported(acme, file.encode(), dry_run="true")
    job = await imported(acme, file.encode())

    assert [column["field"] for column in job["columns"]] == ["first_name", None, "custom.tier", "custom.seats"]
    told_wrong = [(error["line"], error["column"], error["code"]) for error in job["errors"]]
    assert told_wrong == [(3, "THE  tier", "choice"), (3, "custom.seats", "type"), (4, "THE  tier", "required")]
    assert await report(acme, dry) == await report(acme, job)
    assert [item["custom"] for item in await contacts(acme)] == [{"seats": 5, "tier": "Silver"}, {"tier": "Gold"}]


async def test_a_draft_can_be_told_which_column_is_which_field(acme: Tenant) -> None:
    seats = await define(acme, "number", "seats")
    job = await upload(acme, b"first_name,Places\nA,5\n", start="false")
    url = f"{BASE}/imports/{job['id']}"

    unknown = await acme.client.patch(url, json={"mapping": {"Places": "custom.places"}})
    mapped = await acme.client.patch(url, json={"mapping": {"Places": "custom.seats"}})
    await change(acme, seats, archived=True)
    await acme.client.post(f"{url}/start")
    await acme.run_jobs()

    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "mapping.Places")
    assert mapped.json()["columns"][1]["field"] == "custom.seats"
    ended = await told(acme, job)
    assert (ended["state"], "custom.seats" in ended["reason"]) == ("failed", True)


async def test_a_change_touches_only_the_keys_that_are_sent_and_null_takes_one_away(acme: Tenant) -> None:
    for kind in RIGHT:
        await define(acme, kind)
    one = await add(acme, custom={kind: values[0] for kind, values in RIGHT.items()})

    after = await set_to(acme, one, number=5, text=None, multi_select=["silver", "GOLD", "gold"])

    expected = {kind: values[0] for kind, values in RIGHT.items() if kind != "text"}
    assert after == expected | {"number": 5, "multi_select": ["Gold", "Silver"]}
    async with acme.database.system() as system:
        changed = (
            "SELECT payload->'changed' FROM core.domain_events WHERE organization_id = :id ORDER BY id DESC LIMIT 1"
        )
        events = await system.scalar(text(changed), {"id": acme.organization_id})
    assert events == ["custom.multi_select", "custom.number", "custom.text"]
    assert await wrong_with(acme, "PATCH", f"{CONTACTS}/{one['id']}", other=1) == {"custom.other": "unknown"}


async def test_required_is_for_new_contacts_and_not_for_old_rows(acme: Tenant) -> None:
    old = await add(acme)
    await define(acme, "text", required=True)
    await define(acme, "number")

    assert await wrong_with(acme, "POST", CONTACTS, number="x") == {"custom.number": "type", "custom.text": "required"}
    assert await set_to(acme, old, number=1) == {"number": 1}
    new = await add(acme, custom={"text": "x"})
    assert await wrong_with(acme, "PATCH", f"{CONTACTS}/{new['id']}", text=None) == {"custom.text": "required"}


async def test_a_filter_finds_by_value_and_all_options_that_it_names_must_be_there(acme: Tenant) -> None:
    for kind in RIGHT:
        await define(acme, kind)
    for kind, values in RIGHT.items():
        await add(acme, first_name=kind, custom={kind: values[0]})
    await add(acme, first_name="both", company="Acme", custom={"number": 5.5, "multi_select": ["Silver", "Gold"]})

    for kind, values in RIGHT.items():
        value = values[0][0] if kind == "multi_select" else str(values[0])
        assert kind in await having(acme, f"{kind}:{value}"), kind
    assert await having(acme, "number:5.50") == ["both"]
    assert await having(acme, "multi_select:Gold; silver") == ["both"]
    assert await having(acme, "text:5") == []
    refused = ("nothing:1", "number:x", "select:Bronze", "nokey", "date:2026-02-30")
    for wanted in refused:
        answer = await acme.client.get(CONTACTS, params={"custom": wanted})
        assert (answer.status_code, answer.json()["errors"][0]["field"].split(".")[0]) == (422, "custom"), wanted


async def test_an_archived_field_keeps_its_values_and_takes_no_new_ones(acme: Tenant) -> None:
    field = await define(acme, "text", required=True)
    one, other = await add(acme, custom={"text": "x"}), await add(acme, custom={"text": "y"})

    assert await change(acme, field, archived=True) == (200, None)

    assert await set_to(acme, one, text="x") == {"text": "x"}, "what is sent as it stands is right"
    assert await wrong_with(acme, "PATCH", f"{CONTACTS}/{one['id']}", text="z") == {"custom.text": "archived"}
    assert await set_to(acme, other, text=None) == {}
    assert (await add(acme))["custom"] == {}
    job = await imported(acme, b"first_name,custom.text\nA,z\n")
    assert [column["field"] for column in job["columns"]] == ["first_name", None]
    assert await having(acme, "text:x") == ["Ada"]


async def test_no_change_of_a_definition_loses_what_contacts_have(acme: Tenant) -> None:
    field = await define(acme, "multi_select", "topics", options=["A", "B", "C"])
    one = await add(acme, custom={"topics": ["A", "B"]})
    await acme.client.delete(f"{CONTACTS}/{one['id']}")  # the trash counts

    refused = [
        await change(acme, field, kind="text", options=[]),
        await change(acme, field, options=["A", "C"]),
        await change(acme, field, options=["B"], archived_options=["C"]),
    ]
    deleted = await acme.client.delete(f"{FIELDS}/{field['id']}")
    kept = await change(acme, field, options=["B", "D"], archived_options=["A"])

    assert refused == [(409, "field-in-use"), (409, "option-in-use"), (409, "option-in-use")]
    assert (deleted.status_code, deleted.json()["code"]) == (409, "field-in-use")
    assert kept == (200, None)
    await acme.client.post(f"{CONTACTS}/{one['id']}/restore")
    assert await set_to(acme, one, topics=["A", "D"]) == {"topics": ["D", "A"]}
    assert await wrong_with(acme, "POST", CONTACTS, topics=["A"]) == {"custom.topics": "choice"}
    await set_to(acme, one, topics=None)
    assert (await acme.client.delete(f"{FIELDS}/{field['id']}")).status_code == 204


async def test_a_merge_fills_what_the_survivor_lacks_and_undone_both_are_as_they_were(acme: Tenant) -> None:
    topics = await define(acme, "multi_select")
    for kind in ("text", "number"):
        await define(acme, kind)
    one = await add(acme, custom={"text": "one", "number": 1})
    other = await add(acme, custom={"text": "other", "multi_select": ["Gold"]})
    before = await hash_of(acme)
    url = f"{CONTACTS}/{one['id']}"

    taken = {}
    for choice in ({}, {"take": ["custom"]}, {"keep": ["custom"]}):
        merged = (await acme.client.post(f"{url}/merges", json={"other_id": other["id"], **choice})).json()
        taken[str(choice)] = (await acme.client.get(url)).json()["custom"]
        await acme.client.delete(f"{CONTACTS}/{other['id']}")
        assert await change(acme, topics, options=["Silver"]) == (409, "option-in-use"), "it can come back"
        assert (await acme.client.post(f"{BASE}/merges/{merged['id']}/undo")).status_code == 200
        assert await hash_of(acme) == before

    assert list(taken.values()) == [
        {"text": "one", "number": 1, "multi_select": ["Gold"]},
        {"text": "other", "multi_select": ["Gold"]},
        {"text": "one", "number": 1},
    ]


async def test_a_reverted_import_puts_custom_values_back(acme: Tenant) -> None:
    text_field = await define(acme, "text")
    await define(acme, "number")
    await add(acme, email="ada@example.com", custom={"text": "before", "number": 1})
    before = await hash_of(acme)
    file = b"email,first_name,custom.text,The number\nada@example.com,Ada,after,\nnew@example.com,New,new,2\n"

    job = await imported(acme, file, mode="upsert")
    during = [item["custom"] for item in await contacts(acme)]
    undone = await reverted(acme, job)

    assert during == [{"text": "after", "number": 1}, {"text": "new", "number": 2}]
    assert (undone["contacts_reverted"], await hash_of(acme)) == (2, before)
    assert await change(acme, text_field, kind="number") == (409, "field-in-use")


async def test_an_import_of_before_there_were_custom_fields_can_still_be_reverted(acme: Tenant) -> None:
    await add(acme, email="ada@example.com")
    before = await hash_of(acme)
    job = await imported(acme, b"email,company\nada@example.com,Engines\n", mode="update")
    async with acme.database.system() as system:
        older = "UPDATE networking.contact_import_rows SET before = before - 'custom' WHERE organization_id = :id"
        await system.execute(text(older), {"id": acme.organization_id})

    undone = await reverted(acme, job)

    assert (undone["contacts_reverted"], await hash_of(acme)) == (1, before)


async def test_custom_values_are_exported_with_a_person_and_erased_with_them(acme: Tenant) -> None:
    await define(acme, "text")
    mark = "Qwxyzzy"
    await imported(acme, f"first_name,email,custom.text\nAda,ada@example.com,{mark}\n".encode())
    await imported(acme, f"email,custom.text\nada@example.com,{mark} 2\n".encode(), mode="update")
    contact = (await contacts(acme))[0]
    ctx = acme.ctx()
    held = [found.row async for found in export_subject(ctx, acme.application.runtime.plugs, UUID(contact["id"]))]
    await ctx.close()

    await erase(acme, UUID(contact["id"]))

    assert {"text": f"{mark} 2"} in [row.get("custom") for row in held]
    async with acme.database.system() as system:
        for table in tenant_tables():
            if table.schema == "networking":
                count = f"SELECT count(*) FROM {table.fullname} t WHERE organization_id = :id AND t::text LIKE :mark"
                found = await system.scalar(text(count), {"id": acme.organization_id, "mark": f"%{mark}%"})
                assert found == 0, table.fullname


async def test_a_field_is_known_by_one_key_and_one_label(acme: Tenant, globex: Tenant) -> None:
    field = await define(acme, "text", "tier", label="Account tier")
    other = await define(acme, "text", "other")
    twins = [{"key": "tier", "label": "X"}, {"key": "x", "label": " account  TIER"}]

    answers = [await acme.client.post(FIELDS, json=twin | {"kind": "text"}) for twin in twins]
    renamed = await change(acme, other, label="ACCOUNT TIER")
    stale = await acme.client.patch(f"{FIELDS}/{field['id']}", json={"label": "Y"}, headers={"if-match": '"9"'})

    assert [(answer.status_code, answer.json()["conflicts_with"]) for answer in answers] == [(409, [field["id"]])] * 2
    assert (renamed, stale.status_code) == ((409, "field-exists"), 412)
    assert (await define(globex, "text", "tier", label="Account tier"))["key"] == "tier"


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "Tier"},
        {"key": "a.b"},
        {"label": " \u2003"},
        {"kind": "money"},
        {"options": ["A"]},
        {"kind": "select"},
        {"kind": "select", "options": ["A", " a"]},
        {"kind": "select", "options": ["A", "\uff21"]},
        {"kind": "select", "options": ["A;B"]},
    ],
)
async def test_a_definition_that_makes_no_sense_is_refused(acme: Tenant, wrong: dict[str, Any]) -> None:
    answer = await acme.client.post(FIELDS, json={"key": "tier", "label": "Tier", "kind": "text"} | wrong)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].split(".")[0] in wrong.keys() | {"options"}


async def test_members_fill_fields_and_managers_define_them(acme: Tenant) -> None:
    member, manager = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MANAGER)
    field = await define(manager, "text")

    assert (await add(member, custom={"text": "x"}))["custom"] == {"text": "x"}
    assert [item["id"] for item in (await member.client.get(FIELDS)).json()["items"]] == [field["id"]]
    assert (await change(member, field, label="Mine"))[0] == 403
    assert (await member.client.delete(f"{FIELDS}/{field['id']}")).status_code == 403
