"""A worker's claims: jobs are taken, kept and done by the handful, in one statement that is its own transaction.

A statement for many jobs never waits for a row: two of them could wait for each other. What is locked is left out:
whoever takes or keeps a job looks again in any case, and a job that could not be done in company is done alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

import structlog
from msgspec import Struct
from sqlalchemy import (
    ARRAY,
    CTE,
    ColumnElement,
    Float,
    Table,
    Update,
    Uuid,
    bindparam,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.selectable import LateralFromClause

from core.db.database import Database
from core.db.statements import Statement
from core.tasks.handfuls import Handfuls
from core.tasks.holding import is_closed
from core.tasks.models import OutboxJob
from core.tasks.registry import TaskRegistry

log = structlog.get_logger()

SECOND = func.make_interval(0, 0, 0, 0, 0, 0, 1)
"""An interval; times a number it is that many seconds."""
BEATS = 3
"""In the time of a lease. Two may be missed."""


class JobKey(NamedTuple):
    organization_id: UUID
    id: UUID


class Claim(NamedTuple):
    """One run's hold of a job."""

    organization_id: UUID
    id: UUID
    lease: UUID


class ClaimedJob(Struct, frozen=True, kw_only=True):
    """A job as it was when this worker took it."""

    organization_id: UUID
    id: UUID
    actor: str
    arguments: str
    """JSON."""
    user_id: UUID | None
    correlation_id: str
    origin: str
    """JSON."""
    attempts: int
    """This one is among them."""
    lease: UUID
    """Names the claim: only who holds it may finish the job."""
    is_closed: bool
    """Whether the organization is."""

    @property
    def claim(self) -> Claim:
        return Claim(self.organization_id, self.id, self.lease)


class Claims:
    """One worker's claims. Those that it holds are kept alive until it lets them go."""

    def __init__(self, database: Database, registry: TaskRegistry, *, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._statement = claim_statement(frozenset(registry.actors))
        self._taking = Handfuls(self._take)
        self._finishing = Handfuls(self._finish)
        self._held: set[Claim] = set()
        self._next_beat: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None

    async def take(self, organization_id: UUID, job_id: UUID) -> ClaimedJob | None:
        """The job, under a lease of its own; None where it is done, or waits, or somebody else has it.

        It stays due beneath the lease, so that one whose worker dies is sent again at the lease's end.
        """
        job = await self._taking.ask(JobKey(organization_id, job_id))
        if job is not None:  # one whose taker was cancelled meanwhile is left to the lease's end
            self._held.add(job.claim)
            self._beat_later()
        return job

    def let_go(self, job: ClaimedJob) -> None:
        self._held.discard(job.claim)

    async def finish(self, job: ClaimedJob) -> bool:
        """Mark the job as done, where it leaves nothing to commit. False where it couldn't be, as its row is locked or
        the lease is another's."""
        return await self._finishing.ask(job.claim) is not None

    async def _take(self, keys: Sequence[JobKey]) -> dict[JobKey, ClaimedJob]:
        lease = uuid4()
        rows = await self._database.as_system(
            self._statement, **_columns(JobKey._fields, keys), claim=lease, lease_seconds=self._lease_seconds
        )
        jobs = (ClaimedJob(lease=lease, **{name: row[name] for name in _TOLD}) for row in rows)
        return {JobKey(job.organization_id, job.id): job for job in jobs}

    async def _finish(self, claims: Sequence[Claim]) -> dict[Claim, bool]:
        rows = await self._database.as_system(_FINISH, **_columns(Claim._fields, claims))
        return {Claim(*row): True for row in rows}

    def _beat_later(self) -> None:
        if self._next_beat is None:
            loop = asyncio.get_running_loop()
            self._next_beat = loop.call_later(self._lease_seconds / BEATS, self._begin_beat)

    def _begin_beat(self) -> None:
        self._next_beat = None
        if self._held:
            self._beat = asyncio.create_task(self._keep(list(self._held)))
            self._beat_later()

    async def _keep(self, claims: Sequence[Claim]) -> None:
        try:
            await self._database.as_system(_KEEP, **_columns(Claim._fields, claims), lease_seconds=self._lease_seconds)
        except Exception as error:  # the next beat may get through; the lease decides in the end
            log.warning("job.heartbeat_missed", jobs=len(claims), error=str(error))


def _columns(names: Sequence[str], rows: Sequence[tuple[UUID, ...]]) -> dict[str, list[UUID]]:
    return {f"{name}s": list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


_JOBS = cast("Table", OutboxJob.__table__)


type Conditions = Callable[[LateralFromClause], Sequence[ColumnElement[bool]]]


def _free(names: Sequence[str], conditions: Conditions = lambda _: ()) -> CTE:
    """The jobs of these keys that are as the conditions say, locked; without those that somebody else has locked.

    Each is looked up by its key alone, and judged after that: what the planner knows of a queue is always old, and it
    would rather read all that is due.
    """
    arrays = (bindparam(f"{name}s", type_=ARRAY(Uuid)) for name in names)
    wanted = func.unnest(*arrays).table_valued(*(column(name, Uuid) for name in names)).render_derived("wanted")
    by_key = (_JOBS.c[name] == wanted.c[name] for name in JobKey._fields)
    job = select(_JOBS).where(*by_key).limit(literal_column("1")).with_for_update(skip_locked=True).lateral("job")
    own = (job.c[name] == wanted.c[name] for name in names)
    return (
        select(*(wanted.c[name] for name in names))
        .select_from(wanted.join(job, true()))
        .where(*own, job.c.done_at.is_(None), *conditions(job))
        .cte("free")
    )


UNHURRIED = func.set_config("synchronous_commit", "off", True).label("unhurried")
"""In a statement: the commit doesn't wait for the disk. A claim that PostgreSQL loses in a crash is as good as never
made, and its run finds that out at its own commit."""


def _change(free: CTE, **values: Any) -> Update:
    of_those = (_JOBS.c.organization_id == free.c.organization_id, _JOBS.c.id == free.c.id)
    return update(_JOBS).where(*of_those).values(values)


_ENDS = func.now() + SECOND * bindparam("lease_seconds", type_=Float())
_KEEP = Statement(_change(_free(Claim._fields), leased_until=_ENDS).returning(UNHURRIED))
_DONE = _free(Claim._fields)
_FINISH = Statement(
    _change(_DONE, done_at=func.now(), leased_until=None, lease=None, last_error=None).returning(*_DONE.c)
)
_TOLD = tuple(name for name in ClaimedJob.__struct_fields__ if name != "lease")


@cache
def claim_statement(actors: frozenset[str]) -> Statement:
    """One that waits for its next attempt has not been sent since the last: a delivery left over from before is no
    reason to lose patience."""

    def is_ready(job: LateralFromClause) -> Sequence[ColumnElement[bool]]:
        return (
            job.c.parked_at.is_(None),
            job.c.held_at.is_(None),
            job.c.actor.in_([literal(actor) for actor in sorted(actors)]),
            or_(job.c.leased_until.is_(None), job.c.leased_until < func.now()),
            or_(job.c.sends > 0, job.c.not_before <= func.now()),
        )

    free = _free(JobKey._fields, is_ready)
    taken = _change(
        free,
        lease=bindparam("claim", type_=Uuid()),
        leased_until=_ENDS,
        attempts=_JOBS.c.attempts + 1,
        sends=0,
        not_before=func.now(),
    )
    closed = is_closed(OutboxJob.organization_id).label("is_closed")
    return Statement(taken.returning(*(_JOBS.c[name] for name in _TOLD if name in _JOBS.c), closed, UNHURRIED))
