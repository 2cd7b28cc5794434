"""Tags in a file: read as programs write them, added and never taken off, and taken back by a revert to the row."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from importing import CONTACTS, add, contacts, hash_of, imported, report, reverted

from core.testing.tenants import Tenant
from modules.networking.exporting import cell
from modules.networking.importing import reverting, taking
from modules.networking.importing.rows import _disarmed  # pyright: ignore[reportPrivateUsage]
from modules.networking.importing.tag_cells import tags_cell, tags_in
from modules.networking.keys import name_key
from modules.networking.services.tagging import written_name
from modules.networking.values import ImportSource

TAGS = "/api/v1/networking/tags"
TABLES = ("contacts", "contact_tags", "tags")
NAMES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("';,:\"=+ *"), max_size=50)
    .map(written_name)
    .filter(name_key),
    unique_by=name_key,
)


@given(NAMES)
@example(["'=x", "a;b", 'a"', '"', "::", ":::", "* myContacts", "=1", "＝2"])  # noqa: RUF001
def test_what_the_export_writes_of_tags_reads_the_same_again(names: list[str]) -> None:
    text = cell(tags_cell(names))

    assert tags_in(_disarmed(text.strip()), ImportSource.OTHER) == names


@pytest.mark.parametrize(
    ("text", "source", "names"),
    [
        ("Work ::: VIP ::: * myContacts ::: * starred", ImportSource.GOOGLE, ["Work", "VIP", "starred"]),
        ("Friends ::: * My Contacts", ImportSource.GOOGLE, ["Friends"]),
        ("Key account; Press;key ACCOUNT ;; ", ImportSource.OUTLOOK, ["Key account", "Press"]),
        ('"vip","fair, Berlin"', ImportSource.OTHER, ["vip", "fair, Berlin"]),
        ('5" disk, "half, open', ImportSource.OTHER, ['5" disk', '"half', "open"]),
        (" , ; ::: ", ImportSource.OTHER, []),
        ("a" + " " * 90_000 + "b", ImportSource.OTHER, ["a" + " " * 90_000 + "b"]),
        ('"' * 90_001, ImportSource.OTHER, ['"' * 90_001]),
    ],
)
def test_tags_are_read_as_programs_write_them(text: str, source: ImportSource, names: list[str]) -> None:
    assert tags_in(text, source) == names


FILE = (
    b"First Name,E-mail,Labels\n"
    b'There,there@example.com,"vip; Fair 2026"\n'
    b"There,there@example.com,Fair   2026 ; More\n"
    b"Ada,ada@example.com,FAIR 2026\n"
    b"Ada,ada@example.com,More\n"
    b"Bob,bob@example.com,\n"
    b"Long,long@example.com," + b"x" * 51 + b"\n"
)


@pytest.mark.parametrize("batch", [1, 500])
async def test_a_file_adds_tags_as_its_dry_run_says_and_its_revert_takes_them_back(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(taking, "BATCH_ROWS", batch)
    monkeypatch.setattr(reverting, "BATCH_CONTACTS", 1)
    await add(acme, first_name="There", email="there@example.com", tags=["VIP", "Press"])
    before = [await hash_of(acme, f"networking.{table}") for table in TABLES]

    dry = await imported(acme, FILE, dry_run="true", mode="upsert")
    untouched = [await hash_of(acme, f"networking.{table}") for table in TABLES]
    job = await imported(acme, FILE, mode="upsert")
    found = {contact["first_name"]: contact["tags"] for contact in await contacts(acme)}
    after = await reverted(acme, job)

    assert untouched == before
    assert await report(acme, dry) == await report(acme, job)
    assert [(error["column"], error["code"]) for error in job["errors"]] == [("Labels", "length")]
    assert found == {"There": ["Fair 2026", "More", "Press", "VIP"], "Ada": ["Fair 2026", "More"], "Bob": []}
    assert (after["contacts_reverted"], after["contacts_kept"]) == (3, 0)
    assert [await hash_of(acme, f"networking.{table}") for table in TABLES] == before


async def test_a_revert_keeps_what_somebody_did_with_the_tags_since(acme: Tenant) -> None:
    there = await add(acme, first_name="There", email="there@example.com")
    other = await add(acme, first_name="Other")
    job = await imported(acme, b"email,tags\nthere@example.com,a;b;c;d\n", mode="update")
    ids = {tag["name"]: tag["id"] for tag in (await acme.client.get(TAGS)).json()["items"]}
    by_hand = [(there, {"remove": [ids["a"]]}), (there, {"add": [ids["a"]]}), (other, {"add": [ids["b"]]})]
    for contact, said in by_hand:
        answer = await acme.client.post(f"{CONTACTS}/tags", json={"contact_ids": [contact["id"]], **said})
        assert answer.status_code == 200, answer.text
    (await acme.client.patch(f"{TAGS}/{ids['c']}", json={"colour": "#0a7d4f"})).raise_for_status()

    await reverted(acme, job)

    assert {contact["first_name"]: contact["tags"] for contact in await contacts(acme)} == {
        "There": ["a"],
        "Other": ["b"],
    }
    assert [tag["name"] for tag in (await acme.client.get(TAGS)).json()["items"]] == ["a", "b", "c"]


async def test_an_export_with_tags_imports_as_the_same(acme: Tenant, globex: Tenant) -> None:
    names = ["=1+1", "a; b", 'say "x"', "'=y", "plain"]
    await add(acme, email="ada@example.com", tags=names)

    exported = (await acme.client.get(f"{CONTACTS}/export.csv")).content
    job = await imported(globex, exported)

    assert (job["rows_created"], job["errors"]) == (1, [])
    assert [contact["tags"] for contact in await contacts(globex)] == [
        contact["tags"] for contact in await contacts(acme)
    ]
    assert sorted((await contacts(globex))[0]["tags"]) == sorted(names)
