"""Background work of networking."""

from uuid import UUID

from core.sdk import Ctx, actor
from modules.networking.importing import reverting, taking
from modules.networking.services import similarity


@actor(queue="imports")
async def run_import(ctx: Ctx, *, import_id: UUID) -> None:
    await taking.run_import(ctx, import_id)


@actor(queue="imports")
async def revert_import(ctx: Ctx, *, import_id: UUID) -> None:
    await reverting.revert_import(ctx, import_id)


@actor(queue="imports")
async def scan_duplicates(ctx: Ctx, *, after: UUID | None) -> None:
    """A stretch of the contacts, in the order of their ids; what is left is a job of its own."""
    if (last := await similarity.scan(ctx, after=after)) is not None:
        ctx.enqueue(scan_duplicates, after=last)
