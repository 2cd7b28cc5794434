"""Jobs of a module that is off for their organization: they wait, and are let go when it is on again."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import case, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.tasks.models import OutboxJob
from core.toggles.models import ModuleState, OrganizationModule


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


async def hold_jobs(session: AsyncSession, organization_id: UUID, modules: Iterable[str]) -> None:
    """Let the modules' unfinished jobs wait. One that is running stops at its next checkpoint."""
    await session.execute(
        update(OutboxJob)
        .where(
            OutboxJob.organization_id == organization_id,
            OutboxJob.done_at.is_(None),
            OutboxJob.held_at.is_(None),
            func.split_part(OutboxJob.actor, ".", 1).in_(list(modules)),
        )
        .values(held_at=func.now())
        .execution_options(synchronize_session=False)
    )


async def release_jobs(session: AsyncSession, organization_id: UUID, modules: Iterable[str]) -> None:
    """Let them run: at once where they were due before, else at their time."""
    await session.execute(
        update(OutboxJob)
        .where(
            OutboxJob.organization_id == organization_id,
            OutboxJob.done_at.is_(None),
            OutboxJob.held_at.is_not(None),
            func.split_part(OutboxJob.actor, ".", 1).in_(list(modules)),
        )
        .values(held_at=None, sends=0, not_before=case((OutboxJob.sends > 0, func.now()), else_=OutboxJob.not_before))
        .execution_options(synchronize_session=False)
    )
