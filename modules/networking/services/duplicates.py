"""Exact duplicates: contacts that share an address, a number or a profile.

Contacts in the trash count too, so that one who was deleted is restored rather than written anew; those that were
merged count as the contact that they were merged into.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct, convert
from sqlalchemy import ARRAY, Boolean, Text, Uuid, bindparam, column, func, select

from core.sdk import Conflict, Ctx, FieldError, Read
from modules.networking.keys import Key
from modules.networking.locks import number_of
from modules.networking.visibility import SeenColumns, Viewer, changeable, viewer_of, visible

FIELD_OF_KIND = {"email": "email", "phone": "phone", "linkedin": "linkedin_url", "id": "id"}
MATCHES = func.networking.find_matches(
    bindparam("ids", type_=ARRAY(Uuid)),
    bindparam("emails", type_=ARRAY(Text)),
    bindparam("phones", type_=ARRAY(Text)),
    bindparam("profiles", type_=ARRAY(Text)),
).table_valued(
    column("kind", Text),
    column("value", Text),
    column("contact_id", Uuid),
    column("is_deleted", Boolean),
    column("visibility", Text),
    column("owner_id", Uuid),
)
WHOSE = SeenColumns(MATCHES.c)
FIND = Read(
    select(*MATCHES.c["kind", "value", "contact_id", "is_deleted"], changeable(WHOSE).label("may_change"))
    .where(visible(WHOSE))
    .order_by(MATCHES.c.is_deleted, MATCHES.c.contact_id)
)


class Match(Struct, frozen=True, kw_only=True):
    """A contact that has the key."""

    kind: str
    value: str
    contact_id: UUID
    is_deleted: bool
    may_change: bool

    @property
    def key(self) -> Key:
        return Key(self.kind, self.value)


async def find_matches(ctx: Ctx, keys: Iterable[Key], *, viewer: Viewer | None = None) -> list[Match]:
    """Every contact that has one of the keys and that the viewer may see: who acts, or somebody else.

    One query; the oldest first, those in the trash last.
    """
    wanted = list(keys)
    if not wanted:
        return []
    rows = await ctx.db.rows(FIND, **sought(ctx, wanted, viewer=viewer))
    return [convert(dict(row), Match) for row in rows]


def sought(ctx: Ctx, keys: Iterable[Key], *, viewer: Viewer | None = None) -> dict[str, Any]:
    """The parameters of `FIND`."""
    values: defaultdict[str, set[str]] = defaultdict(set)
    for key in keys:
        values[key.kind].add(key.value)
    return {
        "viewer": viewer_of(ctx) if viewer is None else viewer,
        "ids": [UUID(value) for value in values["id"]],
        "emails": list(values["email"]),
        "phones": list(values["phone"]),
        "profiles": list(values["linkedin"]),
    }


async def claim_keys(ctx: Ctx, keys: Iterable[Key]) -> None:
    """Until this transaction ends, nobody else writes one of these keys. Of two who want the same one, the second
    waits here until the first has committed, and then finds it."""
    if numbers := [_number(ctx, *key) for key in keys]:
        await ctx.db.lock(numbers, shared=[_number(ctx, "all")])


async def refuse_duplicates(ctx: Ctx, keys: Iterable[Key], *, besides: UUID) -> None:
    """Raises `Conflict` with the contacts that have one of the keys already, `besides` this one. The keys have to be
    claimed."""
    refuse_matches(match for match in await find_matches(ctx, sorted(set(keys))) if match.contact_id != besides)


def refuse_matches(found: Iterable[Match]) -> None:
    """Raises `Conflict` where there is one."""
    matches = list(found)
    if not matches:
        return
    raise Conflict(
        "There is a contact with this address, number or profile",
        code="duplicate-contact",
        conflicts_with=list(dict.fromkeys(match.contact_id for match in matches)),
        errors=[
            FieldError(
                field=FIELD_OF_KIND[kind],
                code="in-trash" if in_trash else "duplicate",
                message="A contact in the trash has it" if in_trash else "Another contact has it",
            )
            for kind, in_trash in dict.fromkeys((match.key.kind, match.is_deleted) for match in matches)
        ],
    )


async def claim_all_keys(ctx: Ctx) -> None:
    """Until this transaction ends, nobody else writes a contact that would have to be looked for first."""
    await ctx.db.lock([_number(ctx, "all")])


def _number(ctx: Ctx, *parts: str) -> int:
    """The number of an advisory lock."""
    return number_of("networking.keys", str(ctx.organization_id), *parts)
