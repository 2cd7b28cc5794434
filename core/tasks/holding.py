"""Jobs that wait: those of a module that is off for their organization, and all of an organization that is suspended
or deleted. They are let go when that is over."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Uuid, case, column, func, or_, select, table, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from core.tasks.models import OutboxJob
from core.toggles.models import ModuleState, OrganizationModule

ORGANIZATIONS = table(
    "organizations",
    column("id", Uuid),
    column("is_active", Boolean),
    column("is_deleted", Boolean),
    schema="core",
)
CLOSED = or_(ORGANIZATIONS.c.is_active.is_(False), ORGANIZATIONS.c.is_deleted.is_(True))


def is_closed(organization_id: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Whether the organization is suspended or deleted. Jobs of accounts belong to none, and so never wait."""
    return select(ORGANIZATIONS.c.id).where(ORGANIZATIONS.c.id == organization_id, CLOSED).exists()


async def stays_closed(session: AsyncSession, organization_id: UUID) -> bool:
    """The same, and until the transaction's end it is not opened again."""
    closed = select(ORGANIZATIONS.c.id).where(ORGANIZATIONS.c.id == organization_id, CLOSED)
    return await session.scalar(closed.with_for_update(read=True)) is not None


async def lock_modules(session: AsyncSession, organization_id: UUID, *, shared: bool = False) -> None:
    """Until the transaction's end nobody switches a module of the organization; with `shared`, others may look too."""
    lock = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    await session.execute(text(f"SELECT {lock}(hashtextextended(:key, 0))"), {"key": f"modules:{organization_id}"})


async def is_on(session: AsyncSession, organization_id: UUID, module: str) -> bool:
    state = await session.scalar(
        select(OrganizationModule.state).where(
            OrganizationModule.organization_id == organization_id, OrganizationModule.module == module
        )
    )
    return state == ModuleState.ENABLED


async def hold_jobs(session: AsyncSession, organization_id: UUID, modules: Iterable[str] | None = None) -> None:
    """Let unfinished jobs wait, of these modules or all. One that is running stops at its next checkpoint."""
    await session.execute(
        update(OutboxJob)
        .where(*_unfinished(organization_id, modules), OutboxJob.held_at.is_(None))
        .values(held_at=func.now())
        .execution_options(synchronize_session=False)
    )


async def release_jobs(session: AsyncSession, organization_id: UUID, modules: Iterable[str] | None = None) -> None:
    """Let them run: at once where they were due before, else at their time.

    What still has a reason to wait (a module that is off in an organization that is opened, say) is put aside again
    by the worker that it is sent to.
    """
    await session.execute(
        update(OutboxJob)
        .where(*_unfinished(organization_id, modules), OutboxJob.held_at.is_not(None))
        .values(held_at=None, sends=0, not_before=case((OutboxJob.sends > 0, func.now()), else_=OutboxJob.not_before))
        .execution_options(synchronize_session=False)
    )


def _unfinished(organization_id: UUID, modules: Iterable[str] | None) -> Iterator[ColumnElement[bool]]:
    yield OutboxJob.organization_id == organization_id
    yield OutboxJob.done_at.is_(None)
    if modules is not None:
        yield func.split_part(OutboxJob.actor, ".", 1).in_(list(modules))
