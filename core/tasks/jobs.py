"""Running one job: claim it under a lease, do its work and its "done" in one transaction, or give it back.

A delivery names a row and nothing more: whoever claims that row runs it, in the tenant and with the arguments that the
row holds. Every commit of the run checks that the lease is still its own, so that a worker which was thought dead and
comes back can't write twice.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import Float, Table, Update, bindparam, func, update

from core.db.database import Database
from core.db.pages import CursorSigner
from core.db.tenancy import acting
from core.principal import Principal, PrincipalKind
from core.tasks.claims import SECOND, UNHURRIED, ClaimedJob, Claims
from core.tasks.context import Ctx
from core.tasks.holding import is_on, lock_modules, stays_closed
from core.tasks.models import MAX_ATTEMPTS, OutboxJob
from core.tasks.registry import TaskRegistry
from core.toggles.states import ModuleStates

log = structlog.get_logger()

RETRY_SECONDS = (1, 5, 30, 120, 600, 3600)
"""Patience between attempts of a job that raises; the last value repeats."""
ERROR_LENGTH = 2000


_TABLE = cast("Table", OutboxJob.__table__)
_OWN = (
    update(_TABLE)
    .where(
        _TABLE.c.organization_id == bindparam("job_organization"),
        _TABLE.c.id == bindparam("job_id"),
        _TABLE.c.lease == bindparam("job_lease"),
        _TABLE.c.done_at.is_(None),
    )
    .returning(_TABLE.c.held_at)
)
_DONE = _OWN.values(done_at=func.now(), leased_until=None, lease=None, last_error=None)
_LONGER = _OWN.values(leased_until=func.now() + SECOND * bindparam("lease_seconds", type_=Float()))
_LONGER_UNHURRIED = _LONGER.returning(UNHURRIED)
"""Made once: each job runs one of these at least."""


class LeaseLost(Exception):
    """Another worker holds the job by now; what this one did since its last checkpoint is rolled back."""


class JobHeld(BaseException):
    """The job's module was switched off, or its organization closed, while it ran. What it did up to its checkpoint
    stays; the rest waits.

    Not an `Exception`, so that an actor which mends its own errors doesn't take it for one.
    """


class _Origin(Struct, frozen=True):
    impersonator_id: UUID | None = None
    api_key_id: UUID | None = None
    address: str | None = None


class JobCtx(Ctx):
    """A `Ctx` whose commits carry the job's lease."""

    def __init__(self, *, job: ClaimedJob, claims: Claims, lease_seconds: float, **kwargs: Any) -> None:
        origin = msgspec.json.decode(job.origin, type=_Origin)
        principal = Principal(
            kind=PrincipalKind.JOB,
            organization_id=job.organization_id,
            user_id=job.user_id,
            impersonator_id=origin.impersonator_id,
            api_key_id=origin.api_key_id,
        )
        super().__init__(
            principal=principal,
            correlation_id=job.correlation_id,
            address=origin.address,
            job_id=job.id,
            job_name=job.actor,
            **kwargs,
        )
        self._job = job
        self._claims = claims
        self._lease_seconds = lease_seconds

    async def checkpoint(self, *, durable: bool = True) -> None:
        durable = durable or self.db.holds_back  # what others are told of must not be taken back
        held = await self._guard(_LONGER if durable else _LONGER_UNHURRIED, lease_seconds=self._lease_seconds)
        await self.db.commit()
        await self.tell_written()
        if held:
            raise JobHeld(str(self._job.id))

    async def finish(self) -> None:
        """Commit the rest of what the job did together with its "done"; with nothing to commit, in company."""
        if not self._is_at_work and await self._claims.finish(self._job):
            return
        await self._guard(_DONE)
        await self.db.commit()
        await self.tell_written()

    @property
    def _is_at_work(self) -> bool:
        """Whether there is something to commit, or rows that were looked for."""
        return self._db is not None and self._db.is_at_work

    async def _guard(self, statement: Any, **values: Any) -> bool:
        """Update the job's row if the lease is ours. The row lock is held until the commit that follows.

        Returns whether the job was told to wait meanwhile.
        """
        await self.db.flush()
        job = {"job_organization": self._job.organization_id, "job_id": self._job.id, "job_lease": self._job.lease}
        row = (await self.db.execute(statement, job | values)).first()
        if row is None:
            raise LeaseLost(str(self._job.id))
        return row.held_at is not None


class JobRunner:
    """Runs jobs by id. One for each worker process."""

    def __init__(
        self,
        *,
        database: Database,
        registry: TaskRegistry,
        cursors: CursorSigner,
        modules: ModuleStates,
        lease_seconds: float,
        providers: Mapping[type, object] | None = None,
    ) -> None:
        """`providers` are what a job gets from `ctx.use`."""
        self._database = database
        self._providers = providers
        self._registry = registry
        self._cursors = cursors
        self._modules = modules
        self._lease_seconds = lease_seconds
        self._claims = Claims(database, registry, lease_seconds=lease_seconds)

    async def run(self, organization_id: UUID, job_id: UUID) -> None:
        """Run the job if it is still to be done and nobody else holds it. Never raises for what the actor does."""
        job = await self._claims.take(organization_id, job_id)
        if job is None:
            return
        try:
            await self._run_if_on(job)
        finally:
            self._claims.let_go(job)

    async def _run_if_on(self, job: ClaimedJob) -> None:
        bound = structlog.contextvars.bound_contextvars(
            correlation_id=job.correlation_id,
            organization_id=str(job.organization_id),
            user_id=None if job.user_id is None else str(job.user_id),
            actor=job.actor,
            job_id=str(job.id),
        )
        with bound:
            if (job.is_closed and await self._waits_for_opening(job)) or await self._is_held_back(job):
                log.info("job.held")
            else:
                await self._run_claimed(job)

    async def _run_claimed(self, job: ClaimedJob) -> None:
        actor = self._registry.actors[job.actor]
        ctx = JobCtx(
            job=job,
            claims=self._claims,
            lease_seconds=self._lease_seconds,
            database=self._database,
            registry=self._registry,
            cursors=self._cursors,
            modules=await self._modules.of(job.organization_id),
            providers=self._providers,
        )
        try:
            arguments = msgspec.json.decode(job.arguments, type=actor.arguments)
            with acting(ctx.acting):
                await actor.function(ctx, **{f: getattr(arguments, f) for f in actor.arguments.__struct_fields__})
            await ctx.finish()
            log.info("job.done", attempts=job.attempts)
        except LeaseLost:
            log.warning("job.lease_lost")
        except JobHeld:
            await self._put_down(job)
            log.info("job.held")
        except Exception as error:
            await ctx.rollback()
            await self._give_back(job, error)
        finally:
            await ctx.close()

    async def _waits_for_opening(self, job: ClaimedJob) -> bool:
        """Put the job aside unless its organization was opened this moment: whoever opens it lets all go that wait."""
        async with self._database.system() as system:
            if not await stays_closed(system, job.organization_id):
                return False
            await system.execute(_put_down(job).values(held_at=func.now()))
        return True

    async def _is_held_back(self, job: ClaimedJob) -> bool:
        """Whether the job's module is off for its organization; then it waits until the module is on again.

        What this process knows may be a moment old, so it looks again under the lock that whoever switches takes: a
        job can't be put aside just after the waiting ones were let go.
        """
        module = self._registry.modules.module_of(job.actor)
        if module is None or module in (await self._modules.of(job.organization_id)).enabled:
            return False
        async with self._database.system() as system:
            await lock_modules(system, job.organization_id, shared=True)
            if await is_on(system, job.organization_id, module):
                self._modules.forget(str(job.organization_id))
                return False
            await system.execute(_put_down(job).values(held_at=func.now()))
        return True

    async def _put_down(self, job: ClaimedJob) -> None:
        async with self._database.system() as system:
            await system.execute(_put_down(job))

    async def _give_back(self, job: ClaimedJob, error: Exception) -> None:
        """Have the job tried again later, or park it where it has failed often enough."""
        park = job.attempts >= MAX_ATTEMPTS
        log.error("job.failed", attempts=job.attempts, parked=park, exc_info=error)
        seconds = RETRY_SECONDS[min(job.attempts, len(RETRY_SECONDS)) - 1]
        async with self._database.system() as system:
            await system.execute(
                update(OutboxJob)
                .where(
                    OutboxJob.organization_id == job.organization_id,
                    OutboxJob.id == job.id,
                    OutboxJob.lease == job.lease,
                    OutboxJob.done_at.is_(None),
                )
                .values(
                    lease=None,
                    leased_until=None,
                    last_error=f"{type(error).__name__}: {error}".replace("\0", "")[:ERROR_LENGTH],
                    not_before=func.now() + timedelta(seconds=seconds),
                    sends=0,
                    parked_at=func.now() if park else None,
                )
            )


def _put_down(job: ClaimedJob) -> Update:
    """Give the lease back without having failed: this run doesn't count as an attempt."""
    return (
        update(OutboxJob)
        .where(
            OutboxJob.organization_id == job.organization_id,
            OutboxJob.id == job.id,
            OutboxJob.lease == job.lease,
            OutboxJob.done_at.is_(None),
        )
        .values(lease=None, leased_until=None, attempts=OutboxJob.attempts - 1)
        .execution_options(synchronize_session=False)
    )
