"""Who may see a contact, and who may change it: one predicate for every list, look-up, search and count.

Everybody in the organization sees a contact, or its owner alone does, or the owner and those whom it is shared with:
members, and teams with whoever is in them. Who holds `networking:contacts:see-all` sees every contact. What somebody
may not see does not exist for them: it stands in no list, its id is unknown, and it is nobody's duplicate.

Reads take the asker's ids as `viewer=viewer_of(ctx)`. Whoever forgets to hand them over sees what everybody sees.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from core.sdk import Ctx, Forbidden, NotFound, PrincipalKind, mine
from modules.networking.models import Contact
from modules.networking.permissions import SEE_ALL
from modules.networking.sharing_models import ContactShare
from modules.networking.values import Visibility

type Viewer = list[UUID]
"""The ids by which somebody sees contacts: their own, and those of their teams."""

EVERYTHING = UUID(int=0)
"""An id that nobody has. It stands among those of a viewer who sees every contact."""
ASKER = ("viewer",)
_IDS = ARRAY(Uuid)
_VIEWER = bindparam("viewer", type_=_IDS)


class SeenColumns:
    """The columns of a function that tells of contacts: what decides about each."""

    def __init__(self, columns: Any, *, contact_id: str = "contact_id") -> None:
        self.id = columns[contact_id]
        self.owner_id = columns["owner_id"]
        self.visibility = columns["visibility"]


type Seen = type[Contact] | SeenColumns
"""`Contact`, an alias of it, or a function's columns."""


def viewer_of(ctx: Ctx) -> Viewer:
    """Whoever acts. Jobs are the organization's own machinery and see everything, unless they are given a viewer."""
    principal = ctx.principal
    if principal.kind in {PrincipalKind.JOB, PrincipalKind.OPERATOR} or SEE_ALL.name in principal.permissions:
        return [EVERYTHING]
    return sorted({*principal.teams, *([principal.user_id] if principal.user_id else [])})


def visible(contact: Seen) -> ColumnElement[bool]:
    """For the read lane, which binds the tenant and is given the viewer."""
    return _visible(contact, _VIEWER, mine(ContactShare))


def changeable(contact: Seen) -> ColumnElement[bool]:
    """As `visible`, but being shared for reading is not enough."""
    return _visible(contact, _VIEWER, and_(mine(ContactShare), ContactShare.can_edit))


def visible_to(ctx: Ctx, contact: Seen, *, viewer: Viewer | None = None) -> ColumnElement[bool]:
    """For the write lane. `viewer` is for jobs that act with somebody's eyes."""
    return _visible(contact, _given(ctx, viewer), ContactShare.organization_id == ctx.organization_id)


def changeable_by(ctx: Ctx, contact: Seen, *, viewer: Viewer | None = None) -> ColumnElement[bool]:
    """As `visible_to`, but being shared for reading is not enough."""
    share = and_(ContactShare.organization_id == ctx.organization_id, ContactShare.can_edit)
    return _visible(contact, _given(ctx, viewer), share)


def check_governed(ctx: Ctx, contact: Contact) -> None:
    """Whose a contact is and who sees it is said by its owner, and by whoever sees every contact; else `Forbidden`."""
    if EVERYTHING not in viewer_of(ctx) and (ctx.user_id is None or contact.owner_id != ctx.user_id):
        raise Forbidden("This is for the contact's owner", code="owner-needed")


def contacts_with_rights(ctx: Ctx) -> Select[Contact, bool, bool]:
    """Contacts with whether the caller may see each, and may change it: in one query."""
    return select(
        Contact, visible_to(ctx, Contact).label("is_seen"), changeable_by(ctx, Contact).label("may_change")
    ).where(Contact.organization_id == ctx.organization_id)


def check_rights(contact: Contact | None, *, is_seen: bool, may_change: bool = True) -> Contact:
    """Raises `NotFound` for what the caller doesn't see, and `Forbidden` for what they see and may not change."""
    if contact is None or not is_seen:
        raise NotFound("There is no such contact")
    if not may_change:
        raise shared_for_reading()
    return contact


def shared_for_reading() -> Forbidden:
    return Forbidden("The contact is shared with you for reading only", code="shared-for-reading")


def _given(ctx: Ctx, viewer: Viewer | None) -> ColumnElement[Any]:
    return literal(viewer_of(ctx) if viewer is None else viewer, _IDS)


def _visible(contact: Seen, viewer: ColumnElement[Any], share: ColumnElement[bool]) -> ColumnElement[bool]:
    shared = exists().where(share, ContactShare.contact_id == contact.id, ContactShare.grantee_id == func.any(viewer))
    return or_(
        contact.visibility == _named(Visibility.ORGANIZATION),
        literal_column(f"'{EVERYTHING}'::uuid", Uuid()) == func.any(viewer),
        contact.owner_id == func.any(viewer),
        and_(contact.visibility == _named(Visibility.SHARED), shared),
    )


def _named(visibility: Visibility) -> ColumnElement[str]:
    """Written out, so that the planner knows how rare it is."""
    return literal_column(f"'{visibility.value}'", Text())
