"""Requests and answers of owners and shares."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from modules.networking.values import Grantee


class OwnerIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The member whose contact it is from now on."""

    user_id: UUID


class ShareIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a contact is shared with somebody."""

    can_edit: bool = False


class ShareOut(Struct, frozen=True, kw_only=True):
    """A member or a team that a contact is shared with."""

    id: UUID
    kind: Grantee
    grantee_id: UUID
    can_edit: bool
    created_by: UUID | None
    created_at: datetime


class SharesOut(Struct, frozen=True, kw_only=True):
    items: list[ShareOut]
