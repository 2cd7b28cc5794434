"""Claiming jobs. Those that come in while a look is under way are claimed together with the next one: a worker that
runs many small jobs at a time takes them by the handful, in one statement and one commit."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast
from uuid import UUID, uuid4

from msgspec import Struct
from sqlalchemy import ARRAY, Float, Table, Uuid, bindparam, column, func, literal, or_, select, update

from core.db.database import Database
from core.tasks.holding import is_closed
from core.tasks.models import OutboxJob
from core.tasks.registry import TaskRegistry

SECOND = func.make_interval(0, 0, 0, 0, 0, 0, 1)
"""An interval; times a number it is that many seconds."""


class ClaimedJob(Struct, frozen=True, kw_only=True):
    """A job as it was when this worker took it."""

    organization_id: UUID
    id: UUID
    actor: str
    arguments: dict[str, Any]
    user_id: UUID | None
    correlation_id: str
    origin: dict[str, Any]
    attempts: int
    """This one is among them."""
    lease: UUID
    """Names the claim: only who holds it may finish the job."""
    is_closed: bool
    """Whether the organization is."""


class Claims:
    """One worker's claims."""

    def __init__(self, database: Database, registry: TaskRegistry, *, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._statement = _statement(registry.actors)
        self._waiting: list[tuple[UUID, UUID, asyncio.Future[ClaimedJob | None]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def take(self, organization_id: UUID, job_id: UUID) -> ClaimedJob | None:
        """The job, under a lease of its own; None where it is done, or waits, or somebody else has it.

        It stays due beneath the lease, so that one whose worker dies is sent again at the lease's end.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((organization_id, job_id, future))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        return await future

    async def _look(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                try:
                    found = await self._claim({(organization_id, job_id) for organization_id, job_id, _ in asked})
                except Exception as error:
                    for *_, future in asked:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for organization_id, job_id, future in asked:
                    if not future.done():  # one that was cancelled meanwhile leaves its job to the lease's end
                        future.set_result(found.pop((organization_id, job_id), None))
        finally:
            self._looking = None

    async def _claim(self, keys: set[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], ClaimedJob]:
        lease = uuid4()
        organizations, ids = zip(*keys, strict=True)
        values = {
            "organizations": list(organizations),
            "ids": list(ids),
            "claim": lease,
            "lease_seconds": self._lease_seconds,
        }
        async with self._database.system() as system:
            rows = (await system.execute(self._statement, values)).mappings().all()
        return {(row["organization_id"], row["id"]): ClaimedJob(lease=lease, **row) for row in rows}


def _statement(actors: Iterable[str]) -> Any:
    """One that waits for its next attempt has not been sent since the last: a delivery left over from before is no
    reason to lose patience."""
    jobs = cast("Table", OutboxJob.__table__)
    asked = func.unnest(bindparam("organizations", type_=ARRAY(Uuid)), bindparam("ids", type_=ARRAY(Uuid)))
    wanted = asked.table_valued(column("organization_id", Uuid), column("id", Uuid)).render_derived("wanted")
    free = or_(jobs.c.leased_until.is_(None), jobs.c.leased_until < func.now())
    called = or_(jobs.c.sends > 0, jobs.c.not_before <= func.now())
    locked = (
        select(jobs.c.organization_id, jobs.c.id)
        .join(wanted, (jobs.c.organization_id == wanted.c.organization_id) & (jobs.c.id == wanted.c.id))
        .where(
            jobs.c.done_at.is_(None),
            jobs.c.parked_at.is_(None),
            jobs.c.held_at.is_(None),
            jobs.c.actor.in_([literal(actor) for actor in actors]),
            free,
            called,
        )
        .with_for_update(skip_locked=True, of=jobs)
        .cte("locked")
    )
    names = ("organization_id", "id", "actor", "arguments", "user_id", "correlation_id", "origin", "attempts")
    return (
        update(jobs)
        .where(jobs.c.organization_id == locked.c.organization_id, jobs.c.id == locked.c.id)
        .values(
            lease=bindparam("claim", type_=Uuid()),
            leased_until=func.now() + SECOND * bindparam("lease_seconds", type_=Float()),
            attempts=jobs.c.attempts + 1,
            sends=0,
            not_before=func.now(),
        )
        .returning(*(jobs.c[name] for name in names), is_closed(OutboxJob.organization_id).label("is_closed"))
    )
