"""A real contacts file, imported in the background: at once taken in, soon done, every bad row told, nothing twice."""

import csv
import io
import logging
import signal
from collections import Counter
from typing import Any

import httpx

from core.testing.processes import Member
from core.testing.waiting import until
from tests.processes.conftest import OpenSite, Site

figures = logging.getLogger("figures")

ROWS = 10_000
BAD_LINES = {2 + ROWS * n // 17 + 3: n for n in range(17)}
"""Where the bad rows stand: line of the file, the header being line 1."""
FAULTS = [
    ("email", "not an address", "email"),
    ("contact_type", "stranger", "contact_type"),
    ("first_name", "", "first_name"),
    ("linkedin_url", "javascript:alert(1)", "linkedin_url"),
]
COLUMNS = ("first_name", "last_name", "email", "company", "contact_type", "linkedin_url", "notes")
AT_ONCE_SECONDS = 2.0
DONE_WITHIN_SECONDS = 20.0


def contacts_file() -> bytes:
    """Each row has a key of its own in `notes`, by which it is known again."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for line in range(2, ROWS + 2):
        row = {
            "first_name": f"First{line}",
            "last_name": f"Last{line}",
            "email": f"person{line}@import.example",
            "company": "Canary Imports",
            "contact_type": "contact",
            "linkedin_url": f"https://example.com/{line}",
            "notes": f"row {line}",
        }
        if (fault := BAD_LINES.get(line)) is not None:
            column, value, _ = FAULTS[fault % len(FAULTS)]
            row[column] = value
        writer.writerow(row)
    return text.getvalue().encode()


async def upload(member: Member) -> str:
    """Returns where the import is told of."""
    answer = await member.client.post(
        "/api/v1/networking/imports", files={"file": ("contacts.csv", contacts_file(), "text/csv")}
    )
    assert answer.status_code == 202, answer.text
    assert answer.elapsed.total_seconds() < AT_ONCE_SECONDS
    return answer.headers["location"]


async def state_of(member: Member, location: str) -> dict[str, Any]:
    answer = await member.client.get(location)
    assert answer.status_code == 200
    return answer.json()


async def is_all_there_once(member: Member, location: str) -> bool:
    told = await state_of(member, location)
    counts = {key: told[key] for key in ("state", "rows_total", "rows_done", "rows_created", "rows_failed")}
    assert counts == {
        "state": "done",
        "rows_total": ROWS,
        "rows_done": ROWS,
        "rows_created": ROWS - 17,
        "rows_failed": 17,
    }
    errors = {(error["line"], error["column"]): error["reason"] for error in told["errors"]}
    assert sorted(errors) == [(line, FAULTS[n % len(FAULTS)][2]) for line, n in sorted(BAD_LINES.items())]
    assert all(errors.values())
    export = await member.client.get("/api/v1/networking/contacts/export.csv")
    keys = Counter(row["notes"] for row in csv.DictReader(io.StringIO(export.text)))
    return keys == Counter(f"row {line}" for line in range(2, ROWS + 2) if line not in BAD_LINES)


async def is_any_of_it_seen_by(stranger: Member, location: str) -> bool:
    client = stranger.client
    told: list[httpx.Response] = [
        await client.get("/api/v1/networking/contacts", params={"limit": 100}),
        await client.get("/api/v1/networking/contacts", params={"q": "Canary"}),
        await client.get("/api/v1/networking/contacts", params={"is_deleted": "true"}),
        await client.get("/api/v1/networking/contacts/export.csv"),
    ]
    assert [answer.status_code for answer in told] == [200, 200, 200, 200]
    by_name = [(await client.get(path)).status_code for path in (location, f"{location}/errors")]
    return by_name != [404, 404] or any("Canary" in answer.text for answer in told)


async def half_done(site: Site, member: Member, location: str) -> bool:
    told = await state_of(member, location)
    return 0 < told["rows_done"] < ROWS


async def test_ten_thousand_rows_are_imported_in_seconds_and_seen_by_one_tenant_alone(open_site: OpenSite) -> None:
    async with open_site() as site:
        await site.deployment.start_both()
        acme, globex = await site.new_member(), await site.new_member()

        location = await upload(acme)
        seconds = await until(lambda: is_done(acme, location), within=DONE_WITHIN_SECONDS, every=0.1)

        figures.info(f"{ROWS} rows in {seconds:.1f} s")
        assert await is_all_there_once(acme, location)
        assert not await is_any_of_it_seen_by(globex, location)


async def test_an_import_whose_worker_is_killed_ends_as_if_nothing_had_happened(open_site: OpenSite) -> None:
    async with open_site() as site:
        _, worker = await site.deployment.start_both()
        acme = await site.new_member()
        location = await upload(acme)
        await until(lambda: half_done(site, acme, location), within=10, every=0.01)

        worker.send(signal.SIGKILL)

        await worker.ended()
        assert await half_done(site, acme, location), "the worker was killed too late"
        await site.deployment.start_worker()
        await until(lambda: is_done(acme, location), within=DONE_WITHIN_SECONDS, every=0.1)
        assert await is_all_there_once(acme, location)


async def test_an_import_during_which_postgresql_crashes_ends_as_if_nothing_had_happened(fragile_site: Site) -> None:
    """Its batches don't wait for the disk, so the crash may take some back: they are done again."""
    site = fragile_site
    await site.deployment.start_both()
    acme = await site.new_member()
    location = await upload(acme)
    await until(lambda: half_done(site, acme, location), within=10, every=0.01)

    await site.restart_postgres(signal.SIGKILL)

    await until(lambda: is_done_by_now(acme, location), within=2 * DONE_WITHIN_SECONDS, every=0.1)
    assert await is_all_there_once(acme, location)


async def is_done(member: Member, location: str) -> bool:
    return (await state_of(member, location))["state"] == "done"


async def is_done_by_now(member: Member, location: str) -> bool:
    """Right after the crash, whoever asks is told to come back."""
    answer = await member.client.get(location)
    return answer.status_code == 200 and answer.json()["state"] == "done"
