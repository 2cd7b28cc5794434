"""Connections between members: ask, answer, end, block.

Whoever changes what is between two people first locks both of them, in one order for all. So two who ask each other at
once become connected once, nobody goes past a limit, and a block is never overtaken.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import func, or_, select

from core.sdk import Conflict, Ctx, Forbidden, NotFound, People, clock, new_id
from modules.networking.connection_models import Connection
from modules.networking.connection_queries import RELATION
from modules.networking.connection_schemas import ConnectionIn, ConnectionOut, RelationOut
from modules.networking.contract import ConnectionDeclined, ConnectionEnded, ConnectionMade, ConnectionRequested
from modules.networking.locks import lock
from modules.networking.settings import NetworkingSettings
from modules.networking.values import ConnectionState, Direction


def person_of(ctx: Ctx) -> UUID:
    """Who acts. Raises `Forbidden` where it is no person: a program has no connections of its own."""
    if ctx.user_id is None:
        raise Forbidden("This needs a person", code="person-needed")
    return ctx.user_id


async def request_connection(ctx: Ctx, data: ConnectionIn) -> Connection:
    """Ask, or accept where the other has asked. Asking again while a request waits changes nothing.

    Raises `NotFound` for one who is no active member, and `Conflict` for oneself and where a block, a decline not
    long ago (`not-possible` tells neither from the other), or a limit stands in the way.
    """
    me, other = person_of(ctx), data.user_id
    _not_oneself(me, other)
    await People(ctx).active(other)
    connection = await _between(ctx, me, other)
    if connection is not None and connection.state == ConnectionState.CONNECTED:
        return connection
    connection = await _locked(ctx, me, other)
    if connection is None:
        connection = _new(me, other)
        ctx.db.add(connection)
    elif (found := await _answered_by_asking(ctx, connection, me)) is not None:
        return found
    await _check_room_to_ask(ctx, me)
    connection.state, connection.requested_by = ConnectionState.PENDING, me
    connection.message, connection.requested_at, connection.answered_at = data.message, clock.now(), None
    await ctx.db.flush()
    ctx.emit(ConnectionRequested(connection_id=connection.id, from_user_id=me, to_user_id=other))
    return connection


async def _answered_by_asking(ctx: Ctx, connection: Connection, me: UUID) -> Connection | None:
    """The connection, where asking only confirms or accepts it; None where it has to be asked for."""
    if connection.is_blocked_by(me):
        raise Conflict("You have blocked this person: unblock them first", code="blocked-by-you")
    if connection.is_blocked:
        raise _not_possible()
    match connection.state:
        case ConnectionState.CONNECTED:
            return connection
        case ConnectionState.PENDING if connection.requested_by == me:
            return connection
        case ConnectionState.PENDING:
            return await _connect(ctx, connection, me)
        case ConnectionState.DECLINED if connection.requested_by == me and _is_fresh(ctx, connection):
            raise _not_possible()
        case _:
            return None


def _is_fresh(ctx: Ctx, connection: Connection) -> bool:
    cooldown = timedelta(days=ctx.settings(NetworkingSettings).decline_cooldown_days)
    return connection.answered_at is not None and clock.now() < connection.answered_at + cooldown


def _not_possible() -> Conflict:
    return Conflict("This person can't be asked now", code="not-possible")


async def accept(ctx: Ctx, connection_id: UUID) -> Connection:
    """Raises `Conflict` where no request of the other waits, or one of the two has as many connections as may be."""
    connection = await _locked_by_id(ctx, connection_id)
    _check_waiting(connection, incoming_for=person_of(ctx))
    return await _connect(ctx, connection, person_of(ctx))


async def decline(ctx: Ctx, connection_id: UUID) -> Connection:
    connection = await _locked_by_id(ctx, connection_id)
    me = person_of(ctx)
    _check_waiting(connection, incoming_for=me)
    connection.state, connection.answered_at = ConnectionState.DECLINED, clock.now()
    await ctx.db.flush()
    asked = connection.other_than(me)
    ctx.emit(ConnectionDeclined(connection_id=connection.id, from_user_id=asked, to_user_id=me))
    return connection


async def cancel(ctx: Ctx, connection_id: UUID) -> Connection:
    """Take one's own request back. Raises `Conflict` where none waits."""
    connection = await _locked_by_id(ctx, connection_id)
    if connection.state != ConnectionState.PENDING or connection.requested_by != person_of(ctx):
        raise Conflict("No request of yours waits", code="not-waiting")
    connection.state, connection.answered_at = ConnectionState.CANCELLED, clock.now()
    await ctx.db.flush()
    return connection


async def remove(ctx: Ctx, connection_id: UUID) -> None:
    """Raises `Conflict` where the two are not connected."""
    connection = await _locked_by_id(ctx, connection_id)
    if connection.state != ConnectionState.CONNECTED:
        raise Conflict("You are not connected", code="not-connected")
    _end(ctx, connection)


async def block(ctx: Ctx, user_id: UUID) -> None:
    """End whatever is between the two and let the other not ask again. They are not told.

    Blocking twice is blocking once. Also those who have left can be blocked, as they may come back.
    """
    me = person_of(ctx)
    _not_oneself(me, user_id)
    connection = await _locked(ctx, me, user_id)
    if connection is None:
        if user_id not in await People(ctx).known([user_id]):
            raise NotFound("There is no such member")
        connection = _new(me, user_id)
        ctx.db.add(connection)
    if connection.is_blocked_by(me):
        return
    if connection.state == ConnectionState.CONNECTED:
        _end(ctx, connection)
    elif connection.state == ConnectionState.PENDING and connection.requested_by is not None:
        own = connection.requested_by == me
        connection.state = ConnectionState.CANCELLED if own else ConnectionState.DECLINED
        connection.answered_at = clock.now()
    _set_block(connection, me, blocked=True)
    await ctx.db.flush()


async def unblock(ctx: Ctx, user_id: UUID) -> None:
    """What the block ended does not come back. Raises `NotFound` where there is no block."""
    me = person_of(ctx)
    connection = await _locked(ctx, me, user_id)
    if connection is None or not connection.is_blocked_by(me):
        raise NotFound("You have not blocked this person")
    _set_block(connection, me, blocked=False)
    await ctx.db.flush()


async def relation(ctx: Ctx, user_id: UUID) -> RelationOut:
    """Raises `NotFound` for one who is no active member. Where one blocks the other, nothing is between them."""
    me = person_of(ctx)
    person = await People(ctx).active(user_id)
    connection = await _between(ctx, me, user_id)
    degree, mutual = None, 0
    if user_id != me and (connection is None or not connection.is_blocked):
        found = await ctx.reads.first(RELATION, me=me, them=user_id)
        degree, mutual = (found["degree"], found["mutual"]) if found else (None, 0)
    return RelationOut(
        user_id=user_id,
        name=person.name,
        degree=degree,
        mutual_connections=mutual,
        connection=await connection_out(ctx, connection) if connection else None,
    )


async def connection_out(ctx: Ctx, connection: Connection) -> ConnectionOut:
    """As whoever acts sees it: that the other blocks them is not to be seen."""
    me = person_of(ctx)
    other = connection.other_than(me)
    person = (await People(ctx).known([other])).get(other)
    asked = connection.requested_by
    return ConnectionOut(
        id=connection.id,
        version=connection.version,
        user_id=other,
        name=person.name if person else None,
        state=ConnectionState(connection.state),
        direction=None if asked is None else Direction.OUTGOING if asked == me else Direction.INCOMING,
        message=connection.message,
        blocked_by_me=connection.is_blocked_by(me),
        requested_at=connection.requested_at,
        answered_at=connection.answered_at,
        created_at=connection.created_at,
        updated_at=connection.updated_at,
    )


async def with_names(ctx: Ctx, page: bytes) -> bytes:
    """A page whose items name a `user_id`, with these people's names."""
    content: dict[str, Any] = msgspec.json.decode(page)
    ids = [UUID(item["user_id"]) for item in content["items"]]
    people = await People(ctx).known(ids)
    for item, user_id in zip(content["items"], ids, strict=True):
        item["name"] = people[user_id].name if user_id in people else None
    return msgspec.json.encode(content)


async def find_connection(ctx: Ctx, connection_id: UUID) -> Connection:
    """Raises `NotFound` where there is none, or it is between two others."""
    me = person_of(ctx)
    connection = await ctx.db.scalar(
        select(Connection)
        .where(Connection.organization_id == ctx.organization_id, Connection.id == connection_id)
        .where(or_(Connection.first_id == me, Connection.second_id == me), Connection.state != ConnectionState.NONE)
    )
    if connection is None:
        raise NotFound("There is no such connection")
    return connection


async def _locked_by_id(ctx: Ctx, connection_id: UUID) -> Connection:
    connection = await find_connection(ctx, connection_id)
    return await _locked(ctx, connection.first_id, connection.second_id) or connection


async def _locked(ctx: Ctx, one: UUID, other: UUID) -> Connection | None:
    """What is between the two, as it is once both are locked."""
    await lock(ctx, "connections", one, other)
    return await _between(ctx, one, other)


async def _between(ctx: Ctx, one: UUID, other: UUID) -> Connection | None:
    return await ctx.db.scalar(
        select(Connection)
        .where(
            Connection.organization_id == ctx.organization_id,
            Connection.first_id == min(one, other),
            Connection.second_id == max(one, other),
        )
        .execution_options(populate_existing=True)
    )


def _new(one: UUID, other: UUID) -> Connection:
    return Connection(
        id=new_id(), first_id=min(one, other), second_id=max(one, other), state=ConnectionState.NONE.value
    )


def _not_oneself(me: UUID, other: UUID) -> None:
    if me == other:
        raise Conflict("Nobody can connect with themselves", code="oneself")


def _set_block(connection: Connection, me: UUID, *, blocked: bool) -> None:
    moment = clock.now() if blocked else None
    if me == connection.first_id:
        connection.first_blocked_at = moment
    else:
        connection.second_blocked_at = moment


def _check_waiting(connection: Connection, *, incoming_for: UUID) -> None:
    if connection.state != ConnectionState.PENDING or connection.requested_by == incoming_for:
        raise Conflict("No request of the other one waits", code="not-waiting")


def _end(ctx: Ctx, connection: Connection) -> None:
    connection.state, connection.answered_at = ConnectionState.REMOVED, clock.now()
    ctx.emit(ConnectionEnded(connection_id=connection.id, user_ids=[connection.first_id, connection.second_id]))


async def _connect(ctx: Ctx, connection: Connection, me: UUID) -> Connection:
    other = connection.other_than(me)
    for person in (me, other):
        await _check_room(ctx, person, whose="You have" if person == me else "The other one has")
    connection.state, connection.answered_at = ConnectionState.CONNECTED, clock.now()
    await ctx.db.flush()
    ctx.emit(ConnectionMade(connection_id=connection.id, from_user_id=other, to_user_id=me))
    return connection


async def _check_room_to_ask(ctx: Ctx, me: UUID) -> None:
    await _check_room(ctx, me, whose="You have")
    waiting = await _count(ctx, Connection.requested_by == me, Connection.state == ConnectionState.PENDING)
    if waiting >= ctx.settings(NetworkingSettings).max_pending_requests:
        raise Conflict("You have as many unanswered requests as may be", code="request-limit")


async def _check_room(ctx: Ctx, person: UUID, *, whose: str) -> None:
    connected = await _count(
        ctx,
        or_(Connection.first_id == person, Connection.second_id == person),
        Connection.state == ConnectionState.CONNECTED,
    )
    if connected >= ctx.settings(NetworkingSettings).max_connections:
        raise Conflict(f"{whose} as many connections as may be", code="connection-limit")


async def _count(ctx: Ctx, *conditions: Any) -> int:
    with ctx.db.no_autoflush:
        found = await ctx.db.scalar(
            select(func.count())
            .select_from(Connection)
            .where(Connection.organization_id == ctx.organization_id, *conditions)
        )
    return found or 0
