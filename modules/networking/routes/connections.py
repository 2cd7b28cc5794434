"""Connections: ask a member, answer, end it, and see how far somebody is away."""

from typing import Literal
from uuid import UUID

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    FromQuery,
    JSONBody,
    Limit,
    Page,
    PageCursor,
    People,
    Response,
    Tagged,
    delete,
    get,
    json_bytes,
    post,
    put,
    requires,
    tagged,
)
from modules.networking.connection_models import Connection
from modules.networking.connection_queries import BLOCKS, CONNECTIONS, MUTUALS
from modules.networking.connection_schemas import ConnectionIn, ConnectionOut, MutualOut, RelationOut
from modules.networking.permissions import CONNECT, READ
from modules.networking.services import connections
from modules.networking.services.connections import person_of, with_names
from modules.networking.values import Direction

ShownState = Literal["pending", "connected", "declined", "cancelled", "removed"]


@post(
    "/connections",
    operation_id="request_connection",
    summary="Ask a member to connect, or accept where they have asked",
    status_code=200,
    guards=[requires(CONNECT)],
)
async def request_connection(ctx: Ctx, data: JSONBody[ConnectionIn]) -> Tagged[ConnectionOut]:
    return await _shown(ctx, await connections.request_connection(ctx, data))


@get(
    "/connections",
    operation_id="list_connections",
    summary="One's own connections and requests",
    guards=[requires(READ)],
)
async def list_connections(
    ctx: Ctx,
    status: FromQuery[ShownState] = "connected",
    direction: FromQuery[Direction | None] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[ConnectionOut]]:
    page = await ctx.page(CONNECTIONS, limit=limit, cursor=cursor, me=person_of(ctx), state=status, direction=direction)
    return json_bytes(await with_names(ctx, page))


@get(
    "/connections/{connection_id:uuid}",
    operation_id="get_connection",
    summary="One connection",
    guards=[requires(READ)],
)
async def get_connection(ctx: Ctx, connection_id: FromPath[UUID]) -> Tagged[ConnectionOut]:
    return await _shown(ctx, await connections.find_connection(ctx, connection_id))


@post(
    "/connections/{connection_id:uuid}/accept",
    operation_id="accept_connection",
    summary="Accept a request",
    status_code=200,
    guards=[requires(CONNECT)],
)
async def accept_connection(ctx: Ctx, connection_id: FromPath[UUID]) -> Tagged[ConnectionOut]:
    return await _shown(ctx, await connections.accept(ctx, connection_id))


@post(
    "/connections/{connection_id:uuid}/decline",
    operation_id="decline_connection",
    summary="Decline a request",
    status_code=200,
    guards=[requires(CONNECT)],
)
async def decline_connection(ctx: Ctx, connection_id: FromPath[UUID]) -> Tagged[ConnectionOut]:
    return await _shown(ctx, await connections.decline(ctx, connection_id))


@post(
    "/connections/{connection_id:uuid}/cancel",
    operation_id="cancel_connection",
    summary="Take one's own request back",
    status_code=200,
    guards=[requires(CONNECT)],
)
async def cancel_connection(ctx: Ctx, connection_id: FromPath[UUID]) -> Tagged[ConnectionOut]:
    return await _shown(ctx, await connections.cancel(ctx, connection_id))


@delete(
    "/connections/{connection_id:uuid}",
    operation_id="remove_connection",
    summary="Be connected no more",
    guards=[requires(CONNECT)],
)
async def remove_connection(ctx: Ctx, connection_id: FromPath[UUID]) -> None:
    await connections.remove(ctx, connection_id)


@get("/blocks", operation_id="list_blocks", summary="Whom one has blocked", guards=[requires(READ)])
async def list_blocks(
    ctx: Ctx, limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None
) -> Response[Page[ConnectionOut]]:
    page = await ctx.page(BLOCKS, limit=limit, cursor=cursor, me=person_of(ctx))
    return json_bytes(await with_names(ctx, page))


@put(
    "/people/{user_id:uuid}/block",
    operation_id="block_person",
    summary="Block a member: they can't ask any more, and are not told",
    status_code=204,
    guards=[requires(CONNECT)],
)
async def block_person(ctx: Ctx, user_id: FromPath[UUID]) -> None:
    await connections.block(ctx, user_id)


@delete(
    "/people/{user_id:uuid}/block",
    operation_id="unblock_person",
    summary="Block a member no more",
    guards=[requires(CONNECT)],
)
async def unblock_person(ctx: Ctx, user_id: FromPath[UUID]) -> None:
    await connections.unblock(ctx, user_id)


@get(
    "/people/{user_id:uuid}/relation",
    operation_id="get_relation",
    summary="How far a member is away, and what is between the two",
    guards=[requires(READ)],
)
async def get_relation(ctx: Ctx, user_id: FromPath[UUID]) -> RelationOut:
    return await connections.relation(ctx, user_id)


@get(
    "/people/{user_id:uuid}/mutual-connections",
    operation_id="list_mutual_connections",
    summary="Who is connected with both",
    guards=[requires(READ)],
)
async def list_mutual_connections(
    ctx: Ctx, user_id: FromPath[UUID], limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None
) -> Response[Page[MutualOut]]:
    await People(ctx).active(user_id)
    page = await ctx.page(MUTUALS, limit=limit, cursor=cursor, me=person_of(ctx), them=user_id)
    return json_bytes(await with_names(ctx, page))


async def _shown(ctx: Ctx, connection: Connection) -> Tagged[ConnectionOut]:
    return tagged(await connections.connection_out(ctx, connection), version=connection.version)


CONNECTION_ROUTES = (
    request_connection,
    list_connections,
    get_connection,
    accept_connection,
    decline_connection,
    cancel_connection,
    remove_connection,
    list_blocks,
    block_person,
    unblock_person,
    get_relation,
    list_mutual_connections,
)
