"""The read side of connections: lists, mutual ones, and how far two people are apart."""

from typing import Any

from sqlalchemy import ColumnElement, Select, Text, Uuid, and_, bindparam, case, cast, func, literal_column, or_, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.sdk import ListQuery, Read, mine
from modules.networking.connection_models import Connection
from modules.networking.values import ConnectionState, Direction

REACH = 1000
"""Connections of one person that are looked at when degrees and mutual ones are found, the newest first."""
CONNECTED = literal_column(f"'{ConnectionState.CONNECTED.value}'", Text)
ME = bindparam("me", type_=Uuid())

OTHER = case((Connection.first_id == ME, Connection.second_id), else_=Connection.first_id)
BLOCKED_BY_ME = case(
    (Connection.first_id == ME, Connection.first_blocked_at.is_not(None)),
    else_=Connection.second_blocked_at.is_not(None),
)
COLUMNS: tuple[ColumnElement[Any] | InstrumentedAttribute[Any], ...] = (
    Connection.id,
    Connection.version,
    OTHER.label("user_id"),
    Connection.state,
    case(
        (Connection.requested_by.is_(None), None),
        (Connection.requested_by == ME, cast(Direction.OUTGOING.value, Text)),
        else_=cast(Direction.INCOMING.value, Text),
    ).label("direction"),
    Connection.message,
    BLOCKED_BY_ME.label("blocked_by_me"),
    Connection.requested_at,
    Connection.answered_at,
    Connection.created_at,
    Connection.updated_at,
)
MINE = or_(Connection.first_id == ME, Connection.second_id == ME)
CONNECTIONS = ListQuery(
    Connection,
    columns=COLUMNS,
    where=[Connection.state != ConnectionState.NONE.value],
    filters={
        "me": MINE,
        "state": Connection.state == bindparam("state"),
        "direction": case(
            (bindparam("direction", type_=Text()) == Direction.OUTGOING.value, Connection.requested_by == ME),
            else_=Connection.requested_by != ME,
        ),
    },
    sorts={"created_at": Connection.created_at, "updated_at": Connection.updated_at},
    default_sort="-updated_at",
)
BLOCKS = ListQuery(
    Connection,
    columns=COLUMNS,
    where=[BLOCKED_BY_ME],
    filters={"me": MINE},
    sorts={"created_at": Connection.created_at, "updated_at": Connection.updated_at},
    default_sort="-updated_at",
)
"""Whom one has blocked."""


def neighbours(person: ColumnElement[Any]) -> Select[Any]:
    """The ids of those whom a person is connected with; each of the two halves is an index of its own."""
    first, second = aliased(Connection), aliased(Connection)
    halves = (
        select(first.second_id.label("user_id"), first.updated_at)
        .where(mine(first), first.first_id == person, first.state == CONNECTED)
        .union_all(
            select(second.first_id, second.updated_at).where(
                mine(second), second.second_id == person, second.state == CONNECTED
            )
        )
        .subquery()
    )
    return select(halves.c.user_id).order_by(halves.c.updated_at.desc(), halves.c.user_id).limit(REACH)


THEM = bindparam("them", type_=Uuid())
MUTUALS = ListQuery(
    Connection,
    columns=(Connection.id, OTHER.label("user_id"), Connection.created_at),
    where=[Connection.state == CONNECTED],
    filters={"me": MINE, "them": OTHER.in_(neighbours(THEM))},
    sorts={"created_at": Connection.created_at},
)
"""One's own connections that are connected with them as well."""


def _relation() -> Select[Any, Any]:
    ours = neighbours(ME).cte("ours")
    theirs = neighbours(THEM).cte("theirs")
    edge = aliased(Connection)
    direct = select(ours.c.user_id).where(ours.c.user_id == THEM).exists()
    mutual = select(func.count()).select_from(ours.join(theirs, ours.c.user_id == theirs.c.user_id)).scalar_subquery()
    ways = [
        select(edge.id)
        .join(ours, ours.c.user_id == one)
        .join(theirs, theirs.c.user_id == other)
        .where(mine(edge), edge.state == CONNECTED)
        .exists()
        for one, other in ((edge.first_id, edge.second_id), (edge.second_id, edge.first_id))
    ]
    return select(
        case((direct, 1), (mutual > 0, 2), (and_(THEM != ME, or_(*ways)), 3)).label("degree"), mutual.label("mutual")
    )


RELATION = Read(_relation())
