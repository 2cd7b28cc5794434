"""Saved views of the list of contacts."""

from uuid import UUID

from msgspec import convert

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    IfMatch,
    JSONBody,
    Limit,
    Page,
    PageCursor,
    Response,
    Tagged,
    delete,
    get,
    json_bytes,
    patch,
    post,
    requires,
    tagged,
)
from modules.networking.permissions import READ, WRITE
from modules.networking.saved_view_models import SavedView
from modules.networking.saved_view_queries import SAVED_VIEWS
from modules.networking.saved_view_schemas import ViewIn, ViewOut, ViewPatch
from modules.networking.services import saved_views

VIEW = "/views/{view_id:uuid}"


@get("/views", operation_id="list_views", summary="One's own views, and those that are shared", guards=[requires(READ)])
async def list_views(ctx: Ctx, limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None) -> Response[Page[ViewOut]]:
    return json_bytes(await ctx.page(SAVED_VIEWS, limit=limit, cursor=cursor, asker=ctx.user_id))


@post("/views", operation_id="create_view", summary="Save a view of the contacts", guards=[requires(WRITE)])
async def create_view(ctx: Ctx, data: JSONBody[ViewIn]) -> Tagged[ViewOut]:
    return _shown(await saved_views.create_view(ctx, data), status_code=201)


@get(VIEW, operation_id="get_view", summary="One view", guards=[requires(READ)])
async def get_view(ctx: Ctx, view_id: FromPath[UUID]) -> Tagged[ViewOut]:
    return _shown(await saved_views.find_view(ctx, view_id))


@patch(VIEW, operation_id="update_view", summary="Change or share a view", guards=[requires(WRITE)])
async def update_view(
    ctx: Ctx, view_id: FromPath[UUID], data: JSONBody[ViewPatch], if_match: IfMatch = None
) -> Tagged[ViewOut]:
    return _shown(await saved_views.update_view(ctx, view_id, data, if_match=if_match))


@delete(VIEW, operation_id="delete_view", summary="Delete a view", guards=[requires(WRITE)])
async def delete_view(ctx: Ctx, view_id: FromPath[UUID], if_match: IfMatch = None) -> None:
    await saved_views.delete_view(ctx, view_id, if_match=if_match)


def _shown(view: SavedView, *, status_code: int = 200) -> Tagged[ViewOut]:
    return tagged(convert(view, ViewOut, from_attributes=True), version=view.version, status_code=status_code)


SAVED_VIEW_ROUTES = (list_views, create_view, get_view, update_view, delete_view)
