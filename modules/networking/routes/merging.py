"""Merges: see what one would do, do it, undo it."""

from uuid import UUID

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    FromQuery,
    IfMatch,
    JSONBody,
    Limit,
    Page,
    PageCursor,
    Response,
    get,
    json_bytes,
    post,
    requires,
)
from modules.networking.duplicate_schemas import MergeIn, MergeOut, MergeShort, MergeUndone
from modules.networking.permissions import READ, WRITE
from modules.networking.queries import MERGES
from modules.networking.services import merging
from modules.networking.visibility import viewer_of


@post(
    "/contacts/{contact_id:uuid}/merges/preview",
    operation_id="preview_merge",
    summary="What merging another contact into this one would do",
    status_code=200,
    guards=[requires(WRITE)],
)
async def preview_merge(ctx: Ctx, contact_id: FromPath[UUID], data: JSONBody[MergeIn]) -> MergeOut:
    return await merging.preview_merge(ctx, contact_id, data)


@post(
    "/contacts/{contact_id:uuid}/merges",
    operation_id="merge_contacts",
    summary="Merge another contact into this one",
    guards=[requires(WRITE)],
)
async def merge_contacts(
    ctx: Ctx, contact_id: FromPath[UUID], data: JSONBody[MergeIn], if_match: IfMatch = None
) -> MergeOut:
    return await merging.merge_contacts(ctx, contact_id, data, if_match=if_match)


@get("/merges", operation_id="list_merges", summary="Merges that stand", guards=[requires(READ)])
async def list_merges(
    ctx: Ctx,
    survivor_id: FromQuery[UUID | None] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[MergeShort]]:
    return json_bytes(
        await ctx.page(MERGES, limit=limit, cursor=cursor, survivor_id=survivor_id, viewer=viewer_of(ctx))
    )


@post(
    "/merges/{merge_id:uuid}/undo",
    operation_id="undo_merge",
    summary="Make two contacts of it again, for 30 days",
    status_code=200,
    guards=[requires(WRITE)],
)
async def undo_merge(ctx: Ctx, merge_id: FromPath[UUID]) -> MergeUndone:
    return await merging.undo_merge(ctx, merge_id)


MERGE_ROUTES = (preview_merge, merge_contacts, list_merges, undo_merge)
