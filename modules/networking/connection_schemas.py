"""What goes in and out of the routes about connections."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from core.sdk import NO_NUL, NO_NUL_TITLE
from modules.networking.values import ConnectionState, Direction


class ConnectionIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask a member to connect. Where they have asked already, this accepts."""

    user_id: UUID
    message: Annotated[str, Meta(title=NO_NUL_TITLE, max_length=500, pattern=NO_NUL)] | None = None


class ConnectionOut(Struct, frozen=True, kw_only=True):
    """A connection as one of the two sees it."""

    id: UUID
    version: int
    user_id: UUID
    """The other one."""
    name: str | None
    """The other one's; null for somebody who has left the organization."""
    state: ConnectionState
    direction: Direction | None
    """Whose request it is, or was."""
    message: str | None
    blocked_by_me: bool
    requested_at: datetime | None
    answered_at: datetime | None
    created_at: datetime
    updated_at: datetime


class MutualOut(Struct, frozen=True, kw_only=True):
    """Somebody who is connected with both."""

    id: UUID
    """Of one's own connection with them."""
    user_id: UUID
    name: str | None
    created_at: datetime


class RelationOut(Struct, frozen=True, kw_only=True):
    """How far away a member is."""

    user_id: UUID
    name: str
    degree: Annotated[int, Meta(ge=1, le=3)] | None
    """1 for a connection, 2 for one of a connection, 3 for one of those. Null for somebody further off."""
    mutual_connections: int
    connection: ConnectionOut | None
    """What there is between the two, even where it is over."""
