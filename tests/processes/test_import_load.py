"""Many rows: how long they take, how much memory the worker needs, and that every duplicate is found.

What is promised of 100,000 rows is concluded from fewer, or measured by hand: `IMPORT_ROWS=100000 pytest` this file.
"""

import csv
import io
import logging
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from core.testing.processes import Member, PlugsProcess
from core.testing.waiting import until
from tests.processes.conftest import OpenSite, Site

figures = logging.getLogger("figures")

PROMISED_ROWS = 100_000
ROWS = int(os.environ.get("IMPORT_ROWS", "20_000"))
FEW_ROWS = 2_000
"""After that many, the worker has all in memory that doesn't grow with the rows."""
EVERY = 10
"""Every tenth row is somebody who stood in the file before: by address, by number or by profile, in turns."""
WITHIN_SECONDS = 60
"""Of a processor, for the worker and for PostgreSQL, who work at the same time. On two that do nothing else it is the
clock's time as well; where others work too, only this tells what an import takes."""
MEMORY_BYTES = 300 * 1_048_576
READS_A_ROW = 200
"""Of the database, on average. When each look-up read all that the organization has, 20,000 rows took 600 each, and no
clock would have told."""
READ = text("SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables")
BACKENDS = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
COLUMNS = ("first_name", "last_name", "email", "phone", "company", "job_title", "linkedin_url", "notes")


def row_of(number: int) -> dict[str, str]:
    return {
        "first_name": f"First{number}",
        "last_name": f"Last{number % 977}",
        "email": f"person{number}@load.example",
        "phone": f"+4420{number:08}",
        "company": f"Company {number % 313}",
        "job_title": "Head of Partnerships",
        "linkedin_url": f"https://www.linkedin.com/in/person-{number}",
        "notes": f"row {number}",
    }


def file_of(rows: int) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for number in range(rows):
        row = row_of(number)
        if number % EVERY == EVERY - 1:
            earlier = row_of(number - EVERY + 1)
            shared = ("email", "phone", "linkedin_url")[number // EVERY % 3]
            spelt = {
                "email": earlier["email"].upper(),
                "phone": f"+44 (20) {number - EVERY + 1:08}",
                "linkedin_url": earlier["linkedin_url"].replace("www.", "uk.") + "/?trk=x",
            }
            row[shared] = spelt[shared]
        writer.writerow(row)
    return text.getvalue().encode()


def peak_memory(pid: int) -> int:
    """Bytes that the process has ever held at a time."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def processor_seconds(site: Site, worker: PlugsProcess) -> tuple[float, float]:
    """What the worker has used by now, and what PostgreSQL's processes have for this deployment."""
    async with site.database.system() as system:
        backends = (await system.scalars(BACKENDS)).all()
    used = {pid: sum(psutil.Process(pid).cpu_times()[:2]) for pid in (worker.pid, *backends)}
    return used.pop(worker.pid), sum(used.values())


async def import_of(member: Member, content: bytes, **options: str) -> dict[str, Any]:
    files = {"file": ("many.csv", content, "text/csv")}
    answer = await member.client.post("/api/v1/networking/imports", files=files, data=options)
    assert answer.status_code == 202, answer.text
    location = answer.headers["location"]

    async def is_over() -> bool:
        return (await member.client.get(location)).json()["state"] in {"done", "failed"}

    await until(is_over, within=3 * WITHIN_SECONDS, every=0.2)
    return (await member.client.get(location)).json()


@pytest.mark.timeout(400)
async def test_a_hundred_thousand_rows_are_taken_in_a_minute_and_little_memory(open_site: OpenSite) -> None:
    async with open_site() as site:
        api, worker = await site.deployment.start_both()
        await import_of(await site.new_member(), file_of(FEW_ROWS))
        at_first, before = peak_memory(worker.pid), await processor_seconds(site, worker)

        told = await import_of(await site.new_member(), file_of(ROWS))

        at_last, after = peak_memory(worker.pid), await processor_seconds(site, worker)
        for process in (api, worker):  # only then everything that they read is counted
            process.send(signal.SIGTERM)
            await process.ended()
        async with site.database.system() as system:
            read = (await system.scalars(READ)).one()
    memory = at_first + (at_last - at_first) / (ROWS - FEW_ROWS) * (PROMISED_ROWS - FEW_ROWS)
    spent = [(now - then) / ROWS * PROMISED_ROWS for then, now in zip(before, after, strict=True)]
    took = f"the worker {spent[0]:.1f} s, PostgreSQL {spent[1]:.1f} s"
    figures.warning(f"{PROMISED_ROWS} rows take {took} and {memory / 1_048_576:.0f} MB; {ROWS} rows read {read}")
    counts = {name: told[name] for name in ("state", "rows_done", "rows_created", "rows_skipped", "rows_failed")}
    assert counts == {
        "state": "done",
        "rows_done": ROWS,
        "rows_created": ROWS - ROWS // EVERY,
        "rows_skipped": ROWS // EVERY,
        "rows_failed": 0,
    }
    assert max(spent) < WITHIN_SECONDS
    assert memory < MEMORY_BYTES
    assert read < READS_A_ROW * ROWS
