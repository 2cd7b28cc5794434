"""Background work of networking."""

from uuid import UUID

from core.sdk import Ctx, actor
from modules.networking.importing import reverting, taking


@actor(queue="imports")
async def run_import(ctx: Ctx, *, import_id: UUID) -> None:
    await taking.run_import(ctx, import_id)


@actor(queue="imports")
async def revert_import(ctx: Ctx, *, import_id: UUID) -> None:
    await reverting.revert_import(ctx, import_id)
