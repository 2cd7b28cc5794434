"""Jobs are taken and done by the handful, and each is as safe as if it were alone."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import select, text

from core.db.database import connect
from core.db.tenancy import SYSTEM_ROLE
from core.settings import Settings
from core.tasks.claims import ClaimedJob, Claims, claim_statement
from core.tasks.context import Ctx
from core.tasks.handfuls import Handfuls
from core.tasks.models import OutboxJob
from core.testing.waiting import until
from tests.tasks.conftest import LEASE_SECONDS, Bench

HANDFUL, BACKLOG = 8, 3_000
MORE = """
INSERT INTO core.outbox (organization_id, id, actor, queue, arguments, correlation_id, created_at, not_before)
SELECT organization_id, gen_random_uuid(), actor, queue, arguments, correlation_id, created_at, not_before
FROM core.outbox, generate_series(1, :jobs) WHERE id = :id
"""


async def idle(ctx: Ctx) -> None:
    """Writes nothing."""


async def is_taken(bench: Bench, job_id: UUID) -> bool:
    return (await bench.job(job_id)).lease is not None


async def take(bench: Bench, jobs: int) -> tuple[Claims, list[ClaimedJob]]:
    made = bench.actor(idle)
    ids = [await bench.enqueue(made) for _ in range(jobs)]
    claims = Claims(bench.tenant.database, bench.registry, lease_seconds=LEASE_SECONDS)
    taken = await asyncio.gather(*(claims.take(bench.tenant.organization_id, job_id) for job_id in ids))
    return claims, [job for job in taken if job is not None]


async def finish(claims: Claims, jobs: Sequence[ClaimedJob]) -> list[bool]:
    return list(await asyncio.gather(*(claims.finish(job) for job in jobs)))


async def test_jobs_that_wrote_nothing_are_done_in_one_transaction(bench: Bench) -> None:
    claims, jobs = await take(bench, HANDFUL)

    assert await finish(claims, jobs) == [True] * HANDFUL

    rows = [await bench.job(job.id) for job in jobs]
    assert len({row.done_at for row in rows} - {None}) == 1, "each was done by itself"
    assert all(row.lease is None and row.leased_until is None for row in rows)


async def test_each_job_of_a_handful_is_done_under_its_own_lease_alone(bench: Bench) -> None:
    """The same job twice in a handful: once by the run that lost it, once by the one that has it now."""
    claims, (kept, lost) = await take(bench, 2)
    new = msgspec.structs.replace(lost, lease=uuid4())
    await bench.change(lost.id, lease=new.lease)

    assert await finish(claims, [kept, lost, new]) == [True, False, True]
    assert await finish(claims, [kept]) == [False], "what is done was done again"


async def test_a_job_whose_row_is_locked_holds_up_none_of_its_handful(bench: Bench) -> None:
    """Else two statements that lock many rows could wait for each other."""
    claims, (locked, free) = await take(bench, 2)
    async with bench.tenant.database.system() as somebody:
        await somebody.execute(select(OutboxJob.id).where(OutboxJob.id == locked.id).with_for_update())
        done = await asyncio.wait_for(finish(claims, [locked, free]), timeout=5)

    assert done == [False, True]
    assert (await bench.job(locked.id)).done_at is None


async def test_a_job_that_could_not_be_done_in_company_is_done_alone(bench: Bench) -> None:
    locked, over = asyncio.Event(), asyncio.Event()

    async def lock() -> None:
        async with bench.tenant.database.system() as somebody:
            await somebody.execute(select(OutboxJob.id).where(OutboxJob.id == job_id).with_for_update())
            locked.set()
            await over.wait()

    async def be_locked(ctx: Ctx) -> None:
        await locked.wait()
        asyncio.get_running_loop().call_later(0.2, over.set)

    job_id = await bench.enqueue(bench.actor(be_locked))
    run = asyncio.create_task(bench.run(job_id))
    await until(lambda: is_taken(bench, job_id), within=5)
    await asyncio.gather(run, lock())

    assert (await bench.job(job_id)).done_at is not None


async def test_a_job_that_wrote_nothing_is_not_done_by_a_run_that_lost_its_lease(bench: Bench) -> None:
    async def lose(ctx: Ctx) -> None:
        assert ctx.job_id is not None
        await bench.change(ctx.job_id, lease=uuid4())

    job_id = await bench.enqueue(bench.actor(lose))
    await bench.run(job_id)

    assert (await bench.job(job_id)).done_at is None


async def test_a_claim_looks_each_job_up_by_its_key_however_many_are_due(bench: Bench, settings: Settings) -> None:
    """What the planner knows of a queue is always old: where it took thousands for one, it would read all of them."""
    made = bench.actor(idle)
    ids = [await bench.enqueue(made) for _ in range(HANDFUL)]
    tenants = [bench.tenant.organization_id] * HANDFUL
    async with bench.tenant.database.system() as system:
        await system.execute(text(MORE), {"id": ids[0], "jobs": BACKLOG})
    statement = claim_statement(frozenset(bench.registry.actors))
    values = {"organization_ids": tenants, "ids": ids, "claim": uuid4(), "lease_seconds": LEASE_SECONDS}
    connection = await connect(settings.system_url, role=SYSTEM_ROLE, name="test")
    try:
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.sql}", *statement.bound(values))
    finally:
        await connection.close()

    read = [rows for name, rows in rows_read(msgspec.json.decode(rows[0][0])[0]["Plan"]) if name == "outbox"]
    assert read, "the plan reads no jobs"
    assert max(read) == HANDFUL


def rows_read(node: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Of each table that a plan reads: how many rows, those among them that it then left out."""
    if "Scan" in node["Node Type"] and "Relation Name" in node:
        left_out = node.get("Rows Removed by Filter", 0)
        yield node["Relation Name"], (node["Actual Rows"] + left_out) * node["Actual Loops"]
    for part in node.get("Plans", ()):
        yield from rows_read(part)


async def test_who_asks_meanwhile_is_answered_together_and_an_error_ends_nothing() -> None:
    asked: list[list[int]] = []

    async def answer(numbers: Sequence[int]) -> dict[int, int]:
        asked.append(sorted(numbers))
        await asyncio.sleep(0)
        if 13 in numbers:
            raise LookupError("unlucky")
        return {number: -number for number in numbers if number}

    handfuls = Handfuls(answer)
    alone = asyncio.create_task(handfuls.ask(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    together = [asyncio.create_task(handfuls.ask(number)) for number in (2, 3, 3, 0)]

    assert await alone == -1
    assert await asyncio.gather(*together) == [-2, -3, None, None]
    assert asked == [[1], [0, 2, 3]]
    failed = await asyncio.gather(handfuls.ask(13), handfuls.ask(4), return_exceptions=True)
    assert [type(error) for error in failed] == [LookupError, LookupError]
    assert await handfuls.ask(5) == -5
