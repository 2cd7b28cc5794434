"""Schedules fire once at their time, for active organizations only; old jobs and events are swept away."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from core import clock
from core.db.database import Database
from core.identity.models import Organization
from core.tasks import schedule as schedule_module
from core.tasks.context import Ctx
from core.tasks.models import DomainEvent, OutboxJob, ScheduleState
from core.tasks.registry import Schedule
from core.tasks.schedule import Scheduler
from core.testing.tenants import Tenant
from tests.tasks.conftest import Bench, Counted

DAILY = timedelta(days=1)


async def tick(ctx: Ctx) -> None:
    ctx.emit(Counted(number=1))


def scheduler_of(bench: Bench) -> Scheduler:
    return Scheduler(database=bench.tenant.database, registry=bench.registry)


async def planned(bench: Bench, *, due: timedelta) -> Schedule:
    """A daily schedule, known to the database and due so long from now."""
    schedule = bench.schedule(bench.actor(tick), every=DAILY)
    assert await scheduler_of(bench).fire_due() == []
    async with bench.tenant.database.system() as system:
        await system.execute(
            update(ScheduleState).where(ScheduleState.name == schedule.name).values(due_at=func.now() + due)
        )
    return schedule


async def jobs_of(database: Database, schedule: Schedule, tenant: Tenant) -> int:
    async with database.system() as system:
        statement = select(func.count()).where(
            OutboxJob.actor == schedule.actor.name, OutboxJob.organization_id == tenant.organization_id
        )
        return (await system.scalars(statement)).one()


async def test_a_new_schedule_fires_one_interval_from_now(bench: Bench) -> None:
    schedule = bench.schedule(bench.actor(tick), every=DAILY)

    assert await scheduler_of(bench).fire_due() == []

    async with bench.tenant.database.system() as system:
        state = await system.get_one(ScheduleState, schedule.name)
    assert timedelta(hours=23, minutes=59) < state.due_at - clock.now() <= DAILY


async def test_a_schedule_fires_once_although_many_schedulers_run(bench: Bench) -> None:
    schedule = await planned(bench, due=timedelta(seconds=-1))

    fired = await asyncio.gather(*(scheduler_of(bench).fire_due() for _ in range(4)))

    assert sorted(fired, key=len) == [[], [], [], [schedule.name]]
    assert await jobs_of(bench.tenant.database, schedule, bench.tenant) == 1


async def test_a_long_outage_is_made_up_for_by_one_firing(bench: Bench) -> None:
    schedule = await planned(bench, due=-30 * DAILY)

    fired = [await scheduler_of(bench).fire_due() for _ in range(3)]

    assert fired == [[schedule.name], [], []]
    assert await jobs_of(bench.tenant.database, schedule, bench.tenant) == 1


async def test_only_active_organizations_are_fired_for(
    bench: Bench, new_tenant: Callable[[], Awaitable[Tenant]]
) -> None:
    database = bench.tenant.database
    suspended, deleted = await new_tenant(), await new_tenant()
    async with database.system() as system:
        for tenant, state in ((suspended, {"is_active": False}), (deleted, {"is_deleted": True})):
            await system.execute(update(Organization).where(Organization.id == tenant.organization_id).values(**state))
    schedule = await planned(bench, due=timedelta(seconds=-1))

    await scheduler_of(bench).fire_due()

    counted = [await jobs_of(database, schedule, tenant) for tenant in (bench.tenant, suspended, deleted)]
    assert counted == [1, 0, 0]


async def test_a_fired_job_runs_in_its_organization(bench: Bench) -> None:
    await planned(bench, due=timedelta(seconds=-1))
    await scheduler_of(bench).fire_due()

    for job in await bench.jobs():
        await bench.run(job.id)

    assert await bench.effects() == [1]


async def test_the_sweep_removes_jobs_done_long_ago_and_no_other(bench: Bench) -> None:
    long_ago, lately = func.now() - timedelta(days=8), func.now() - timedelta(days=6)
    states = [
        {"done_at": long_ago},
        {"done_at": lately},
        {"parked_at": long_ago, "created_at": long_ago},
        {"not_before": long_ago, "created_at": long_ago},
    ]
    ids = await bench.enqueue_counting(len(states))
    for job_id, state in zip(ids, states, strict=True):
        await bench.change(job_id, **state)

    await scheduler_of(bench).sweep()

    assert [job.id for job in await bench.jobs()] == ids[1:]


async def test_the_sweep_removes_all_that_is_old_however_much_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_module, "SWEEP_BATCH", 2)
    for job_id in await bench.enqueue_counting(5):
        await bench.change(job_id, done_at=func.now() - timedelta(days=8))

    await scheduler_of(bench).sweep()

    assert await bench.jobs() == []


async def test_the_sweep_removes_events_told_long_ago(bench: Bench) -> None:
    ctx = bench.ctx()
    ctx.emit(Counted(number=1))
    ctx.emit(Counted(number=2))
    await ctx.commit()
    await ctx.close()
    async with bench.tenant.database.system() as system:
        await system.execute(
            update(DomainEvent)
            .where(
                DomainEvent.organization_id == bench.tenant.organization_id,
                DomainEvent.payload["number"].as_integer() == 1,
            )
            .values(occurred_at=func.now() - timedelta(days=91))
        )

    await scheduler_of(bench).sweep()

    assert await bench.effects() == [2]
