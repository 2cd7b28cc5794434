"""Background work of networking."""

from uuid import UUID

from core.sdk import Ctx, actor
from modules.networking.services import imports


@actor(queue="imports")
async def run_import(ctx: Ctx, *, import_id: UUID) -> None:
    await imports.run_import(ctx, import_id)
