"""What a row may do: create, update or both; what becomes of duplicates; a dry run, and taking it all back."""

import csv
import io
from typing import Any

import pytest
from importing import CONTACTS, IMPORTS, add, contacts, hash_of, imported, report, reverted, told, upload

from core.testing.tenants import Tenant
from modules.networking.importing import reverting, taking

HERE = {"settings": {"country": "GB"}}


async def test_in_create_mode_a_duplicate_is_skipped_and_named(acme: Tenant) -> None:
    there = await add(
        acme, email="ada@example.com", phone="+44 20 7946 0018", linkedin_url="https://linkedin.com/in/ada"
    )
    content = (
        b"first_name,email,phone,linkedin_url\n"
        b"A,ADA@example.com,,\n"
        b"B,,+44 (0)20 7946 0018,\n"
        b"C,,,https://uk.linkedin.com/in/Ada/?x=1\n"
        b"D,dora@example.com,,\n"
    )

    job = await imported(acme, content)

    assert await report(acme, job) == [
        (2, "skipped", "duplicate"),
        (3, "skipped", "duplicate"),
        (4, "skipped", "duplicate"),
        (5, "created", None),
    ]
    rows = (await acme.client.get(f"{IMPORTS}/{job['id']}/rows", params={"outcome": "skipped"})).json()["items"]
    assert {row["contact_id"] for row in rows} == {there["id"]}


async def test_a_number_without_a_country_code_is_at_home_where_the_organization_is(acme: Tenant) -> None:
    await acme.client.patch("/api/v1/organizations/current", json=HERE)
    await add(acme, phone="020 7946 0018")

    job = await imported(acme, b"first_name,phone\nA,+44 20 7946 0018\nB,+44 20 7946 0018 ext. 5\n")

    assert await report(acme, job) == [(2, "skipped", "duplicate"), (3, "created", None)]


async def test_a_person_who_stands_in_a_file_twice_is_one_contact(acme: Tenant) -> None:
    content = b"first_name,email,phone\nA,a@x.example,\nB,a@x.example,+442079460018\nC,,+442079460018\n"

    job = await imported(acme, content)
    again = await imported(acme, content, duplicates="create")

    assert await report(acme, job) == [(2, "created", None), (3, "skipped", "duplicate"), (4, "created", None)]
    assert again["rows_created"] == 3


async def test_an_update_sets_what_the_file_says_and_empties_nothing(acme: Tenant) -> None:
    old = await add(acme, email="ada@example.com", company="Old", notes="keep", marketing_consent="withdrawn")
    content = (
        b"email,company,notes,marketing_consent,first_name\n"
        b"ada@example.com,New,,granted,\n"
        b"nobody@example.com,New,,,\n"
        b",New,,,Nobody\n"
    )

    job = await imported(acme, content, mode="update")

    assert await report(acme, job) == [(2, "updated", None), (3, "failed", "no-match"), (4, "failed", "no-key")]
    [contact] = await contacts(acme)
    assert (contact["company"], contact["notes"], contact["marketing_consent"]) == ("New", "keep", "withdrawn")
    assert contact["version"] == old["version"] + 1


async def test_an_upsert_finds_by_its_key_and_creates_the_rest(acme: Tenant) -> None:
    there = await add(acme, first_name="Old", email="ada@example.com", phone="+44 20 7946 0018")
    content = (
        f"id,first_name,email,phone\n{there['id']},New,new@example.com,\n"
        ",Dora,dora@example.com,\n,Phone,,+442079460018\n"
    ).encode()

    job = await imported(acme, content, mode="upsert", match_key="id")

    assert await report(acme, job) == [(2, "updated", None), (3, "created", None), (4, "skipped", "duplicate")]
    found = {contact["first_name"]: contact for contact in await contacts(acme)}
    assert sorted(found) == ["Dora", "New"]
    assert (found["New"]["email"], found["New"]["additional_emails"]) == ("new@example.com", ["ada@example.com"])


async def test_two_who_share_a_key_are_not_guessed_between(acme: Tenant) -> None:
    for name in ("A", "B"):
        answer = await acme.client.post(
            CONTACTS, json={"first_name": name, "email": "a@x.example"}, params={"allow_duplicate": True}
        )
        assert answer.status_code == 201
    before = await hash_of(acme)

    job = await imported(acme, b"first_name,email\nC,a@x.example\n", mode="upsert")

    assert await report(acme, job) == [(2, "failed", "ambiguous")]
    assert await hash_of(acme) == before


async def test_an_import_brings_nobody_back_out_of_the_trash(acme: Tenant) -> None:
    there = await add(acme, email="a@x.example")
    await acme.client.delete(f"{CONTACTS}/{there['id']}")

    created = await imported(acme, b"first_name,email\nA,a@x.example\n")
    upserted = await imported(acme, b"first_name,email\nA,a@x.example\n", mode="upsert")

    assert await report(acme, created) == await report(acme, upserted) == [(2, "skipped", "in-trash")]
    assert await contacts(acme) == []


MIXED = (
    b"first_name,email,phone,company\n"
    b"Ada,ada@example.com,+442079460011,One\n"
    b"Ada,ada@example.com,+442079460012,Two\n"
    b"Eve,,+442079460011,number that nobody has any more\n"
    b"Bob,bob@example.com,not a number at all,\n"
    b",nameless@example.com,,\n"
    b"Cleo,cleo@example.com,+442079460012,\n"
    b"There,there@example.com,+442079460015,\n"
    b"Again,,+442079460015,\n"
    b"Old,,+442079460099,its number was replaced two rows above\n"
    b"Gone,gone@example.com,,\n"
)
"""Rows that hang on what earlier rows did."""


async def furnished(tenant: Tenant) -> None:
    await add(tenant, first_name="There", email="there@example.com", phone="+44 20 7946 0099", company="Before")
    gone = await add(tenant, first_name="Gone", email="gone@example.com")
    await tenant.client.delete(f"{CONTACTS}/{gone['id']}")


OPTIONS = [
    {"mode": mode, "duplicates": policy, "match_key": key}
    for mode in ("create", "update", "upsert")
    for policy in ("skip", "update", "create")
    for key in ("email", "phone")
]


@pytest.mark.parametrize("batch", [3, 500])
async def test_a_dry_run_foretells_the_real_run_and_a_revert_puts_every_value_back(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(taking, "BATCH_ROWS", batch)
    monkeypatch.setattr(reverting, "BATCH_CONTACTS", 2)
    await furnished(acme)
    before = await hash_of(acme)
    for options in OPTIONS:  # each finds the contacts as the first one did, or the revert before it failed
        dry = await imported(acme, MIXED, dry_run="true", **options)
        untouched = await hash_of(acme)
        real = await imported(acme, MIXED, **options)
        written = await report(acme, real)
        after = await reverted(acme, real)

        assert untouched == before
        assert await report(acme, dry) == written, options
        counts = ("rows_total", "rows_created", "rows_updated", "rows_skipped", "rows_failed", "errors")
        assert [dry[name] for name in counts] == [real[name] for name in counts]
        assert dry["state"] == real["state"] == "done"
        assert (after["state"], after["contacts_kept"]) == ("reverted", 0)
        assert await hash_of(acme) == before, options


async def test_a_revert_keeps_what_was_changed_since_and_says_so(acme: Tenant) -> None:
    await add(acme, first_name="There", email="there@example.com", company="Before")
    content = b"first_name,email,company\nThere,there@example.com,File\nA,a@x.example,\nB,b@x.example,\nC,c@x.ex,\n"
    job = await imported(acme, content, mode="upsert")
    ids = {contact["first_name"]: contact["id"] for contact in await contacts(acme)}
    await acme.client.patch(f"{CONTACTS}/{ids['There']}", json={"company": "Person"})
    await acme.client.patch(f"{CONTACTS}/{ids['A']}", json={"notes": "called"})
    call = {"interaction_type": "call", "interaction_date": "2026-03-01T09:30:00Z"}
    await acme.client.post(f"{CONTACTS}/{ids['B']}/interactions", json=call)

    after = await reverted(acme, job)

    assert (after["contacts_reverted"], after["contacts_kept"]) == (1, 3)
    assert [(c["first_name"], c["company"]) for c in await contacts(acme)] == [
        ("A", None),
        ("B", None),
        ("There", "Person"),
    ]


async def test_only_what_is_over_and_wrote_something_can_be_reverted(acme: Tenant) -> None:
    draft = await upload(acme, b"first_name\nAda\n", start="false")
    dry = await imported(acme, b"first_name\nAda\n", dry_run="true")
    real = await imported(acme, b"first_name\nAda\n")
    await reverted(acme, real)

    answers = [await acme.client.post(f"{IMPORTS}/{job['id']}/revert") for job in (draft, dry, real)]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "not-revertible")] * 3
    assert await contacts(acme) == []


async def test_a_dry_run_that_dies_begins_anew_and_tells_the_same(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await report(acme, await imported(acme, MIXED, dry_run="true"))
    monkeypatch.setattr(taking, "BATCH_ROWS", 2)
    take, calls = taking.take, []

    async def dying_take(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise ConnectionError("the worker is gone")
        await take(*arguments, **options)

    monkeypatch.setattr(taking, "take", dying_take)
    job = await upload(acme, MIXED, dry_run="true")
    await acme.run_jobs()
    halfway = await told(acme, job)
    await acme.make_jobs_due()
    await acme.run_jobs()

    assert (halfway["state"], halfway["rows_done"]) == ("running", 4)
    assert await report(acme, await told(acme, job)) == whole


async def test_the_error_file_has_the_rows_as_they_were_and_runs_no_formula(acme: Tenant) -> None:
    content = b'First Name,E-mail,Note\nAda,ada@example.com,\n=cmd(),nope,"two\nlines"\n,also nope,x\n'

    job = await imported(acme, content)
    answer = await acme.client.get(f"{IMPORTS}/{job['id']}/errors.csv")

    assert answer.headers["content-disposition"].startswith("attachment")
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == ["First Name", "E-mail", "Note", "error_line", "error_columns", "error_codes", "error_reasons"]
    assert [row[:6] for row in rows] == [
        ["'=cmd()", "nope", "two\nlines", "3", "E-mail", "format"],
        ["", "also nope", "x", "5", "E-mail", "format"],
    ]
    mended = answer.text.replace("also nope", "a@x.example").replace("nope", "b@x.example")
    again = await imported(acme, mended.encode())
    assert (again["rows_created"], again["rows_failed"]) == (1, 1)
