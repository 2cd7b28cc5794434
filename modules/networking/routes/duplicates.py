"""Duplicates: who may be the same person, and who is known not to be."""

from uuid import UUID

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    FromQuery,
    Limit,
    Page,
    PageCursor,
    Response,
    delete,
    get,
    json_bytes,
    post,
    put,
    requires,
)
from modules.networking.actors import scan_duplicates
from modules.networking.duplicate_schemas import DuplicatePairOut, DuplicatesOut, ScanAccepted
from modules.networking.permissions import READ, WRITE
from modules.networking.queries import DUPLICATE_PAIRS
from modules.networking.services import similarity
from modules.networking.visibility import viewer_of


@get(
    "/contacts/{contact_id:uuid}/duplicates",
    operation_id="list_contact_duplicates",
    summary="Who may be the same person as a contact",
    guards=[requires(READ)],
)
async def list_contact_duplicates(ctx: Ctx, contact_id: FromPath[UUID]) -> DuplicatesOut:
    return DuplicatesOut(items=await similarity.duplicates_of(ctx, contact_id))


@get(
    "/duplicates",
    operation_id="list_duplicates",
    summary="Pairs of contacts that may be one person, the likeliest first",
    guards=[requires(READ)],
)
async def list_duplicates(
    ctx: Ctx, dismissed: FromQuery[bool] = False, limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None
) -> Response[Page[DuplicatePairOut]]:
    return json_bytes(
        await ctx.page(DUPLICATE_PAIRS, limit=limit, cursor=cursor, dismissed=dismissed, viewer=viewer_of(ctx))
    )


@post(
    "/duplicates/scan",
    operation_id="scan_duplicates",
    summary="Look for duplicates among all contacts, in the background",
    status_code=202,
    guards=[requires(WRITE)],
)
async def scan(ctx: Ctx) -> ScanAccepted:
    return ScanAccepted(job_id=ctx.enqueue(scan_duplicates, after=None))


@put(
    "/contacts/{contact_id:uuid}/not-duplicates/{other_id:uuid}",
    operation_id="dismiss_duplicate",
    summary="Remember that two contacts are two people",
    status_code=204,
    guards=[requires(WRITE)],
)
async def dismiss_duplicate(ctx: Ctx, contact_id: FromPath[UUID], other_id: FromPath[UUID]) -> None:
    await similarity.dismiss(ctx, contact_id, other_id)


@delete(
    "/contacts/{contact_id:uuid}/not-duplicates/{other_id:uuid}",
    operation_id="reconsider_duplicate",
    summary="Forget that two contacts are two people",
    guards=[requires(WRITE)],
)
async def reconsider_duplicate(ctx: Ctx, contact_id: FromPath[UUID], other_id: FromPath[UUID]) -> None:
    await similarity.reconsider(ctx, contact_id, other_id)


DUPLICATE_ROUTES = (list_contact_duplicates, list_duplicates, scan, dismiss_duplicate, reconsider_duplicate)
