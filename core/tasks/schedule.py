"""The scheduler: fires each schedule once at its time, however many schedulers run and however long all were down."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    TextClause,
    bindparam,
    delete,
    func,
    insert,
    inspect,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from core import clock
from core.db.announcements import Announcement
from core.db.database import Database
from core.db.statements import Statement
from core.ids import new_id
from core.tasks.models import DomainEvent, OutboxJob, ScheduleState
from core.tasks.registry import Schedule, TaskRegistry
from core.toggles.models import ModuleState

log = structlog.get_logger()

TICK_SECONDS = 1.0
KEEP_DONE = "7 days"
KEEP_EVENTS = "90 days"
SWEEP_EVERY_SECONDS = 600.0
SWEEP_BATCH = 5000


class Sweep(Struct, frozen=True):
    """What becomes of rows with time: those of a `model` that `is_old` holds for are removed."""

    model: Any
    is_old: ColumnElement[bool]


KEEP_ANNOUNCEMENTS = "1 hour"
TASK_SWEEPS = (
    Sweep(Announcement, Announcement.announced_at < func.now() - text(f"interval '{KEEP_ANNOUNCEMENTS}'")),
    Sweep(OutboxJob, OutboxJob.done_at < func.now() - text(f"interval '{KEEP_DONE}'")),
    Sweep(DomainEvent, DomainEvent.occurred_at < func.now() - text(f"interval '{KEEP_EVENTS}'")),
)


_WAITING = Statement(select(ScheduleState.name).where(ScheduleState.due_at > bindparam("now")))
"""A look once a second, in each worker, that nearly always finds all of them."""


class Scheduler:
    def __init__(self, *, database: Database, registry: TaskRegistry, sweeps: Sequence[Sweep] = TASK_SWEEPS) -> None:
        self._database = database
        self._registry = registry
        self._sweeps = sweeps

    async def run(self) -> None:
        """Fire and sweep until cancelled."""
        loop = asyncio.get_running_loop()
        swept_at = loop.time()
        while True:
            try:
                await self.fire_due()
                if loop.time() - swept_at > SWEEP_EVERY_SECONDS:
                    await self.sweep()
                    swept_at = loop.time()
            except Exception as error:  # PostgreSQL is away: what is due stays due
                log.warning("scheduler.stalled", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(TICK_SECONDS)

    async def fire_due(self) -> list[str]:
        """Enqueue every schedule that is due, one job for each active organization. Returns their names.

        Times that passed while nothing ran are made up for by one firing, not by one for each.
        """
        fired: list[str] = []
        waiting = {name for [name] in await self._database.as_system(_WAITING, now=clock.now())}
        for schedule in self._registry.schedules.values():
            if schedule.name in waiting:
                continue
            now = clock.now()
            async with self._database.system() as system:
                await system.execute(
                    upsert(ScheduleState)
                    .values(name=schedule.name, due_at=now + schedule.every)
                    .on_conflict_do_nothing()
                )
                due = await system.scalar(
                    select(ScheduleState.due_at)
                    .where(ScheduleState.name == schedule.name, ScheduleState.due_at <= now)
                    .with_for_update(skip_locked=True)
                )
                if due is None:
                    continue
                organizations = await system.scalars(self._followers(schedule))
                jobs = [self._job(schedule, organization, now) for organization in organizations]
                if jobs:
                    await system.execute(insert(OutboxJob), jobs)
                await system.execute(
                    update(ScheduleState)
                    .where(ScheduleState.name == schedule.name)
                    .values(due_at=now + schedule.every, last_fired_at=now)
                )
            fired.append(schedule.name)
        return fired

    def _followers(self, schedule: Schedule) -> TextClause:
        """The living organizations; of a module's schedule, those that have the module on."""
        module = self._registry.modules.module_of(schedule.name)
        living = "SELECT id FROM core.organizations AS o WHERE is_active AND NOT is_deleted"
        if module is None:
            return text(living)
        state = "(SELECT state FROM core.organization_modules AS m WHERE m.organization_id = o.id AND module = :module)"
        unsaid = ModuleState.ENABLED if module in self._registry.modules.on_by_default else ModuleState.AVAILABLE
        return text(f"{living} AND coalesce({state}, :unsaid) = :on").bindparams(
            module=module, unsaid=unsaid.value, on=ModuleState.ENABLED.value
        )

    @staticmethod
    def _job(schedule: Schedule, organization_id: object, now: datetime) -> dict[str, object]:
        return {
            "organization_id": organization_id,
            "id": new_id(),
            "actor": schedule.actor.name,
            "queue": schedule.actor.queue,
            "arguments": {},
            "not_before": now,
        }

    async def sweep(self) -> None:
        """Remove what is old, a batch at a time, so that no lock is held for long."""
        for sweep in self._sweeps:
            while await self._sweep_batch(sweep.model, sweep.is_old) == SWEEP_BATCH:
                pass

    async def _sweep_batch(self, model: Any, condition: ColumnElement[bool]) -> int:
        """Two that sweep at once take different rows."""
        key: Sequence[ColumnElement[Any]] = inspect(model).primary_key
        old = select(*key).where(condition).limit(SWEEP_BATCH).with_for_update(skip_locked=True).cte("old")
        async with self._database.system() as system:
            removed = await system.execute(
                delete(model)
                .where(*(column == old.c[column.name] for column in key))
                .returning(literal(1))
                .execution_options(synchronize_session=False)
            )
            return len(removed.all())
