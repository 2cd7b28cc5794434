"""Imports through the API and a job that runs here, so that each rule is seen by itself."""

from typing import Any

import pytest
from importing import IMPORTS, contacts, imported, upload
from sqlalchemy import func, select

from core.testing.tenants import Tenant
from modules.networking.importing import taking
from modules.networking.models import ContactImportChunk


async def test_an_import_is_queued_until_a_worker_takes_it(acme: Tenant) -> None:
    job = await upload(acme, b"first_name\nAda\n")

    assert (job["state"], job["rows_total"], job["file_bytes"]) == ("queued", None, 15)
    assert await contacts(acme) == []


async def test_rows_become_contacts_and_bad_ones_are_told_by_line_and_column(acme: Tenant) -> None:
    content = (
        b"First Name,E-mail,Status,Colour\n"
        b"Ada,Ada@Example.com,Hot Lead,red\n"
        b",nobody@example.com,Hot Lead,\n"
        b"\n"
        b'"Grace\nHopper",not an address,lukewarm,blue\n'
        b"Edsger,edsger@example.com,,\n"
        b"Alan,alan@example.com,,,too,many\n"
    )

    job = await imported(acme, content)

    assert (job["state"], job["rows_total"], job["rows_created"], job["rows_failed"]) == ("done", 5, 2, 3)
    assert [(error["line"], error["column"]) for error in job["errors"]] == [
        (3, "First Name"),
        (5, "E-mail"),
        (5, "Status"),
        (8, ""),
    ]
    assert all(error["reason"] and error["code"] for error in job["errors"])
    assert [(c["first_name"], c["email"], c["status"]) for c in await contacts(acme)] == [
        ("Ada", "ada@example.com", "hot_lead"),
        ("Edsger", "edsger@example.com", "new_client"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "first_name;company\nZoë;Müller\n".encode("utf-8-sig"),
        "first_name\tcompany\r\nZoë\tMüller\r\n".encode("utf-16"),
        "first_name|company\nZoë|Müller".encode("cp1252"),
        'company,"first_name"\n"Müller","Zoë"\n'.encode(),
    ],
    ids=["utf-8 with mark", "utf-16", "windows-1252", "quoted"],
)
async def test_encoding_and_delimiter_are_recognised(acme: Tenant, content: bytes) -> None:
    job = await imported(acme, content)

    assert (job["state"], job["rows_created"]) == ("done", 1)
    assert [(c["first_name"], c["company"]) for c in await contacts(acme)] == [("Zoë", "Müller")]


@pytest.mark.parametrize(
    "content",
    [b"surname\nOkafor\n", b"\x00\x01\x02", b"\n\n", b'first_name\n"' + b"x" * 200_000 + b'"\n'],
    ids=["no first name", "binary", "blank", "a giant field"],
)
async def test_a_file_that_is_no_contact_list_fails_with_a_reason(acme: Tenant, content: bytes) -> None:
    job = await imported(acme, content)

    assert job["state"] == "failed"
    assert job["reason"]
    assert await contacts(acme) == []


async def test_an_empty_file_is_refused_at_once(acme: Tenant) -> None:
    answer = await acme.client.post(IMPORTS, files={"file": ("empty.csv", b"", "text/csv")})

    assert (answer.status_code, answer.json()["code"]) == (422, "empty-file")


async def test_a_header_alone_imports_nothing_and_is_done(acme: Tenant) -> None:
    job = await imported(acme, b"first_name,email\n")

    assert (job["state"], job["rows_total"], job["rows_created"]) == ("done", 0, 0)


async def test_a_run_that_dies_between_batches_goes_on_where_it_stopped(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "BATCH_ROWS", 10)
    take, calls = taking.take, []

    async def dying_take(ctx: Any, job: Any, planner: Any, batch: Any, **options: Any) -> None:
        calls.append(batch.rows[0].line)
        await take(ctx, job, planner, batch, **options)
        if len(calls) == 3:
            raise ConnectionError("the worker is gone")

    monkeypatch.setattr(taking, "take", dying_take)
    job = await upload(acme, b"first_name\n" + b"".join(b"Row%03d\n" % index for index in range(45)))
    await acme.run_jobs()
    halfway = (await acme.client.get(f"{IMPORTS}/{job['id']}")).json()
    await acme.make_jobs_due()
    await acme.run_jobs()

    done = (await acme.client.get(f"{IMPORTS}/{job['id']}")).json()
    assert (halfway["state"], halfway["rows_created"]) == ("running", 20)
    assert (done["state"], done["rows_created"]) == ("done", 45)
    assert [c["first_name"] for c in await contacts(acme)] == [f"Row{index:03}" for index in range(45)]
    assert calls == [2, 12, 22, 22, 32, 42], "the batch that was rolled back is taken again, and no other"


async def test_the_file_is_not_kept_once_the_import_is_over(acme: Tenant) -> None:

    await imported(acme, b"first_name\nAda\n")

    async with acme.database.system() as system:
        kept = select(func.count()).where(ContactImportChunk.organization_id == acme.organization_id)
        assert await system.scalar(kept) == 0


async def test_all_errors_can_be_paged_through(acme: Tenant) -> None:
    job = await imported(acme, b"first_name,email\n" + b"Ada,nope\n" * 130)

    assert (job["rows_failed"], len(job["errors"])) == (130, 100)
    first = (await acme.client.get(f"{IMPORTS}/{job['id']}/errors", params={"limit": 120})).json()
    second = await acme.client.get(
        f"{IMPORTS}/{job['id']}/errors", params={"limit": 120, "cursor": first["next_cursor"]}
    )
    lines = [error["line"] for error in first["items"] + second.json()["items"]]
    assert lines == list(range(2, 132))
