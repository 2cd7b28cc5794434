"""Finding, deleting and bringing back an organization's teams and roles."""

from uuid import UUID

from sqlalchemy import select

from core import clock
from core.errors import Conflict, NotFound
from core.http.conditions import check_if_match
from core.identity.organization_models import CustomRole, Team
from core.tasks.context import Ctx

NAMES = {Team: "team", CustomRole: "role"}


async def find_living[M: (Team, CustomRole)](ctx: Ctx, model: type[M], row_id: UUID) -> M:
    """Raises `NotFound` where there is none in this organization, or it is deleted."""
    row = await _find(ctx, model, row_id)
    if row.is_deleted:
        raise NotFound(f"There is no such {NAMES[model]}")
    return row


async def delete_row[M: (Team, CustomRole)](ctx: Ctx, row: M, *, if_match: str | None) -> None:
    """What hangs on it has no effect any more, and has again once it is brought back."""
    check_if_match(if_match, row.version)
    row.is_deleted, row.deleted_at = True, clock.now()
    await ctx.db.flush()


async def restore_row[M: (Team, CustomRole)](ctx: Ctx, model: type[M], row_id: UUID) -> M:
    """Raises `Conflict` where it is not deleted, or its name has been taken since."""
    row = await _find(ctx, model, row_id)
    if not row.is_deleted:
        raise Conflict(f"The {NAMES[model]} is not deleted", code="not-deleted")
    row.is_deleted, row.deleted_at = False, None
    await ctx.db.flush()
    return row


async def _find[M: (Team, CustomRole)](ctx: Ctx, model: type[M], row_id: UUID) -> M:
    row = await ctx.db.scalar(select(model).where(model.organization_id == ctx.organization_id, model.id == row_id))
    if row is None:
        raise NotFound(f"There is no such {NAMES[model]}")
    return row
