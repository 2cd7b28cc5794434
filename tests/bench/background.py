"""What is measured of work in the background: an import, and jobs by the thousand."""

import asyncio
import csv
import io
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from core.audit.sealing import Sealer
from core.testing.processes import PLUGS, environment_of
from core.testing.waiting import until
from tests.bench.report import Goal, Row
from tests.bench.site import HERE, PEERS_PYTHON, ROOT, Server, Site

IMPORT = "import 100,000 rows"
JOBS = "outbox to actor"
SCORES = "recompute the lead scores of a tenant"
ROWS, MANY_JOBS = 100_000, 5_000
SEED_ROWS = 10_000
"""The seed stack gets a tenth of the file: its rate is the same, and nobody waits."""
PATIENCE_SECONDS = 900.0
COLUMNS = ("first_name", "last_name", "email", "company", "job_title", "phone")
FLOOR_INSERT = """
INSERT INTO networking.contacts (organization_id, id, first_name, last_name, email, company, job_title, phone,
    contact_type, status, priority)
SELECT $1, uuidv7(), r.*, 'target', 'new_client', 'medium'
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) AS r
"""
FORGET_IMPORTED = (
    "SET session_replication_role = replica",
    "DELETE FROM networking.contact_import_rows",
    """DELETE FROM networking.contact_stages AS stage USING networking.contacts AS contact
       WHERE contact.organization_id = stage.organization_id AND contact.id = stage.contact_id
         AND contact.email LIKE 'import%'""",
    "DELETE FROM networking.contacts WHERE email LIKE 'import%'",
)
WRITE_SCORES = """
UPDATE networking.contacts SET lead_score = lead_score + 1 WHERE organization_id = $1 AND NOT is_deleted RETURNING id
"""
WAITING_JOBS = """
INSERT INTO core.outbox (organization_id, id, actor, queue, arguments, correlation_id, created_at, not_before)
SELECT $1, uuidv7(), 'bench_follower.follow', 'default',
    jsonb_build_object('payload', jsonb_build_object('contact_id', gen_random_uuid())), '', now(), now()
FROM generate_series(1, $2::int)
"""


def contacts_file(rows: int = ROWS) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for n in range(rows):
        mail, phone = f"import{n}@company{n % 997}.example", f"+49301{n:07}"
        writer.writerow([f"Ada{n}", f"Lovelace{n % 991}", mail, f"Company {n % 997}", "Engineer", phone])
    return text.getvalue().encode()


@contextmanager
def worker(site: Site) -> Iterator[Path]:
    """Its log."""
    file = site.folder / "worker.log"
    env = environment_of(site.settings, python_path=[HERE / "distribution"])
    with file.open("wb") as log:
        process = subprocess.Popen([str(PLUGS), "worker"], env=env, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield file
        finally:
            process.terminate()
            process.wait(40)


async def _make_ready(site: Site, server: Server, worker_log: Path) -> None:
    await site.sign_in(server.port, 1)
    await until(lambda: b"worker.started" in worker_log.read_bytes(), within=60)


def measure_import(site: Site, *, rounds: int) -> Row:
    """From the upload to the last row, against one INSERT of the parsed rows, and against an ORM that looks each
    row's duplicate up."""
    content, file = contacts_file(), site.folder / "import.csv"
    file.write_bytes(contacts_file(SEED_ROWS))
    row = Row(work=IMPORT, unit="rows/s", goal=Goal(of_floor=0.3, times_seed_stack=10), ours=[])
    for _ in range(rounds):
        asyncio.run(_settle(site))
        with site.serve("ours") as server, worker(site) as log:
            asyncio.run(_make_ready(site, server, log))
            row.ours.append(ROWS / asyncio.run(_import(site, server.port, content)))
        row.floor.append(ROWS / asyncio.run(_insert(site, content)))
        seed = _seconds_of([str(PEERS_PYTHON), "-m", "tests.bench.peers.seed_import", str(file)], site, "seed_stack")
        row.seed_stack.append(SEED_ROWS / seed)
        asyncio.run(_forget_imported(site))
    return row


async def _forget_imported(site: Site) -> None:
    """Past the triggers, so that the next round, and what is measured after the last, finds what this one found."""
    async with site.connected() as connection:
        for statement in (*FORGET_IMPORTED, "VACUUM"):
            await connection.execute(statement, timeout=PATIENCE_SECONDS)


async def _import(site: Site, port: int, content: bytes) -> float:
    headers = {"authorization": f"Bearer {site.tenants[0].token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        started = time.perf_counter()
        files = {"file": ("contacts.csv", content, "text/csv")}
        answer = (await client.post("/api/v1/networking/imports", files=files)).raise_for_status()

        await _done(client, answer.headers["location"])
        return time.perf_counter() - started


async def _done(client: httpx.AsyncClient, url: str) -> None:
    async def is_done() -> bool:
        told = (await client.get(url)).raise_for_status().json()
        if told["state"] == "failed":
            raise RuntimeError(f"it failed: {told}")
        return told["state"] == "done"

    await until(is_done, within=PATIENCE_SECONDS, every=0.1)


async def _insert(site: Site, content: bytes) -> float:
    """Into another organization that has as many: of one that the planner's statistics don't know, it would read all
    rows for each."""
    rows = list(csv.reader(io.StringIO(content.decode())))[1:]
    columns = [list(column) for column in zip(*rows, strict=True)]
    started = time.perf_counter()
    await site.query(FLOOR_INSERT, site.tenants[1].id, *columns)
    return time.perf_counter() - started


def _seconds_of(command: list[str], site: Site, peer: str) -> float:
    """A peer's program that prints how long its work took."""
    done = subprocess.run(
        command, env=site.peer_environment(peer), cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=PATIENCE_SECONDS
    )
    return float(done.stdout.split()[-1])


def measure_scores(site: Site, *, rounds: int) -> Row:
    """A tenant's contacts by the rules of the house, against one UPDATE that writes as many scores without a reason."""
    row = Row(work=SCORES, unit="contacts/s", goal=Goal(), ours=[])
    for _ in range(rounds):
        asyncio.run(_settle(site))
        with site.serve("ours") as server, worker(site) as log:
            asyncio.run(_make_ready(site, server, log))
            ours = asyncio.run(_recompute(site, server.port))
        count, floor = asyncio.run(_write_scores(site))
        row.ours.append(count / ours)
        row.floor.append(count / floor)
    return row


async def _recompute(site: Site, port: int) -> float:
    headers = {"authorization": f"Bearer {site.tenants[0].token}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        started = time.perf_counter()
        run = (await client.post("/api/v1/networking/score-runs")).raise_for_status().json()
        await _done(client, f"/api/v1/networking/score-runs/{run['id']}")
        return time.perf_counter() - started


async def _write_scores(site: Site) -> tuple[int, float]:
    started = time.perf_counter()
    rows = await site.query(WRITE_SCORES, site.tenants[0].id)
    return len(rows), time.perf_counter() - started


def measure_jobs(site: Site, *, rounds: int) -> Row:
    """Jobs that do nothing, from the first that is done to the last: all of them wait when the worker starts."""
    bare = [sys.executable, "-m", "tests.bench.peers.bare_dramatiq", str(MANY_JOBS)]
    celery = [str(PEERS_PYTHON), "-m", "tests.bench.peers.seed_jobs", str(MANY_JOBS)]
    row = Row(work=JOBS, unit="jobs/s", goal=Goal(of_floor=0.5, times_seed_stack=1), ours=[])
    for _ in range(rounds):
        row.ours.append(MANY_JOBS / asyncio.run(_run_jobs(site)))
        row.floor.append(MANY_JOBS / _seconds_of(bare, site, "floor"))
        row.seed_stack.append(MANY_JOBS / _seconds_of(celery, site, "seed_stack"))
    return row


async def _settle(site: Site) -> None:
    """What was measured before has left work behind: jobs by the thousand, their dead rows, a trail that the next
    worker would begin to seal, and pages to be written."""
    await site.query("DELETE FROM core.outbox")
    await site.query("VACUUM core.outbox")
    async with site.runtime.open_database("bench") as database:
        await Sealer(database, site.settings.wrapping_keys).seal()
    await site.query("CHECKPOINT")


async def _run_jobs(site: Site) -> float:
    await _settle(site)
    await site.query(WAITING_JOBS, site.tenants[0].id, MANY_JOBS)

    async with site.connected() as connection:

        async def left() -> int:
            return await connection.fetchval("SELECT count(*) FROM core.outbox WHERE done_at IS NULL")

        with worker(site):
            return await seconds_from_first_to_last(left, MANY_JOBS)


async def seconds_from_first_to_last(left: Callable[[], Awaitable[int]], all_of_them: int) -> float:
    async def begun() -> bool:
        return await left() < all_of_them

    async def over() -> bool:
        return await left() == 0

    await until(begun, within=60)
    started = time.perf_counter()
    await until(over, within=PATIENCE_SECONDS)
    return time.perf_counter() - started
