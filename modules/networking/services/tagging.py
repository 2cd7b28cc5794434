"""Which contact has which tag: put on and taken off, by id or by name, by people and by imports."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import batched
from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert

from core.sdk import Conflict, Ctx, FieldError, Invalid, NotFound, new_id
from modules.networking.contract import ContactUpdated
from modules.networking.keys import name_key
from modules.networking.models import Contact
from modules.networking.saved_view_models import SavedView
from modules.networking.tag_models import ContactTag, Tag
from modules.networking.tag_schemas import TaggedContact, TaggingIn, TaggingOutcome
from modules.networking.visibility import contacts_with_rights

PAIRS_A_STATEMENT = 2000
NOT_SEEN = "Expected a name that can be seen"
ATTEMPTS = 5
"""At making tags that somebody else deletes again at the same moment."""


def written_name(name: str) -> str:
    return " ".join(name.split())


async def tag_contacts(ctx: Ctx, data: TaggingIn) -> list[TaggedContact]:
    """Raises `NotFound` for an unknown tag; what can't be done to a contact is its own outcome."""
    wanted = {*data.add, *data.remove}
    if len(await locked_tags(ctx, wanted)) < len(wanted):
        raise NotFound("There is no such tag")
    rights = await _rights(ctx, data.contact_ids)
    ids = [contact_id for contact_id, may_change in rights.items() if may_change]
    added = await put_on(ctx, ids, [tag_id for tag_id in data.add if tag_id not in data.remove])
    removed = await take_off(ctx, ids, data.remove)
    changed = added | removed
    for contact_id in sorted(changed):
        ctx.emit(ContactUpdated(contact_id=contact_id, changed=["tags"]))
    return [
        TaggedContact(contact_id=contact_id, outcome=_outcome(rights.get(contact_id), is_changed=contact_id in changed))
        for contact_id in dict.fromkeys(data.contact_ids)
    ]


def _outcome(may_change: bool | None, *, is_changed: bool) -> TaggingOutcome:
    if may_change is None:
        return TaggingOutcome.NOT_FOUND
    if not may_change:
        return TaggingOutcome.FORBIDDEN
    return TaggingOutcome.CHANGED if is_changed else TaggingOutcome.UNCHANGED


async def _rights(ctx: Ctx, ids: Collection[UUID]) -> dict[UUID, bool]:
    """Of the living contacts that the caller sees: whether they may change each."""
    found = await ctx.db.execute(contacts_with_rights(ctx).where(Contact.id.in_(ids), ~Contact.is_deleted))
    return {contact.id: may_change for contact, is_seen, may_change in found if is_seen}


async def locked_tags(ctx: Ctx, ids: Collection[UUID], *, for_update: bool = False) -> Sequence[Tag]:
    """Tags that nobody can delete before this transaction is over, nor change where it is `for_update`."""
    found = await ctx.db.scalars(
        select(Tag)
        .where(Tag.organization_id == ctx.organization_id, Tag.id.in_(ids))
        .order_by(Tag.id)
        .with_for_update(read=not for_update, key_share=not for_update)
    )
    return found.all()


async def put_on(ctx: Ctx, contact_ids: Sequence[UUID], tag_ids: Sequence[UUID]) -> set[UUID]:
    """Returns the contacts that did not have one of them."""
    return await _put(ctx, ((contact_id, tag_id) for contact_id in contact_ids for tag_id in dict.fromkeys(tag_ids)))


async def _put(
    ctx: Ctx, pairs: Iterable[tuple[UUID, UUID]], *, created_by: UUID | None = None, import_id: UUID | None = None
) -> set[UUID]:
    changed: set[UUID] = set()
    common = {"organization_id": ctx.organization_id, "created_by": created_by or ctx.user_id, "import_id": import_id}
    for some in batched(pairs, PAIRS_A_STATEMENT):
        rows = [common | {"id": new_id(), "contact_id": contact_id, "tag_id": tag_id} for contact_id, tag_id in some]
        statement = insert(ContactTag).values(rows).on_conflict_do_nothing()
        changed |= set(await ctx.db.scalars(statement.returning(ContactTag.contact_id)))
    return changed


async def take_off(ctx: Ctx, contact_ids: Sequence[UUID], tag_ids: Sequence[UUID]) -> set[UUID]:
    """Returns the contacts that had one of them."""
    if not contact_ids or not tag_ids:
        return set()
    statement = (
        delete(ContactTag)
        .where(
            ContactTag.organization_id == ctx.organization_id,
            ContactTag.contact_id.in_(contact_ids),
            ContactTag.tag_id.in_(tag_ids),
        )
        .returning(ContactTag.contact_id)
        .execution_options(synchronize_session=False)
    )
    return set(await ctx.db.scalars(statement))


async def set_tags(ctx: Ctx, contact_id: UUID, names: Sequence[str]) -> bool:
    """Have the contact have these tags and no others; unknown ones are made. Returns whether that changed anything.
    Raises `Invalid` for a name that nobody can see."""
    wanted = _by_key(names)
    standing = select(ContactTag.tag_id).where(
        ContactTag.organization_id == ctx.organization_id, ContactTag.contact_id == contact_id
    )
    had = set(await ctx.db.scalars(standing))
    ids = set((await _ids_of(ctx, wanted)).values())
    if ids == had:
        return False
    await put_on(ctx, [contact_id], sorted(ids - had))
    await take_off(ctx, [contact_id], sorted(had - ids))
    return True


async def tag_imported(
    ctx: Ctx, names: Mapping[UUID, Iterable[str]], *, import_id: UUID, created_by: UUID | None
) -> set[UUID]:
    """Put on each contact the tags that a file gives it; unknown ones are made. Returns the contacts that lacked one.
    The import is remembered with all that it adds, so that it can be taken back."""
    wanted = _by_key(name for given in names.values() for name in given)
    ids = await _ids_of(ctx, wanted, created_by=created_by, import_id=import_id)
    pairs = {(contact_id, ids[name_key(name)]): None for contact_id, given in names.items() for name in given}
    return await _put(ctx, pairs, created_by=created_by, import_id=import_id)


async def untag_imported(ctx: Ctx, contact_ids: Collection[UUID], *, import_id: UUID) -> None:
    """Take off what the import put on these contacts."""
    if contact_ids:
        await ctx.db.execute(
            delete(ContactTag)
            .where(
                ContactTag.organization_id == ctx.organization_id,
                ContactTag.contact_id.in_(contact_ids),
                ContactTag.import_id == import_id,
            )
            .execution_options(synchronize_session=False)
        )


async def drop_imported_tags(ctx: Ctx, *, import_id: UUID) -> None:
    """Delete the tags that the import made, but for those that somebody has put to use or changed since."""
    mine = (Tag.organization_id == ctx.organization_id, Tag.import_id == import_id, Tag.version == 1)
    locked = await ctx.db.scalars(select(Tag.id).where(*mine).order_by(Tag.id).with_for_update())
    used = exists().where(ContactTag.organization_id == Tag.organization_id, ContactTag.tag_id == Tag.id)
    viewed = exists().where(
        SavedView.organization_id == Tag.organization_id, SavedView.filters["tag"].astext == Tag.name
    )
    await ctx.db.execute(
        delete(Tag).where(*mine, Tag.id.in_(locked.all()), ~used, ~viewed).execution_options(synchronize_session=False)
    )


def _by_key(names: Iterable[str]) -> dict[str, str]:
    """Each name once, as it is first written."""
    found: dict[str, str] = {}
    errors: list[FieldError] = []
    for index, name in enumerate(names):
        if key := name_key(name):
            found.setdefault(key, name)
        else:
            errors.append(FieldError(field=f"tags.{index}", code="blank", message=NOT_SEEN))
    if errors:
        raise Invalid(errors=errors)
    return found


async def _ids_of(
    ctx: Ctx, names: Mapping[str, str], *, created_by: UUID | None = None, import_id: UUID | None = None
) -> dict[str, UUID]:
    """The tags of these keys, unknown ones made in the order of their keys, so that two who do so can't wait for each
    other. None of them can be deleted before this transaction is over."""
    if not names:
        return {}
    statement = (
        select(Tag.key, Tag.id)
        .where(Tag.organization_id == ctx.organization_id, Tag.key.in_(names))
        .order_by(Tag.id)
        .with_for_update(read=True, key_share=True)
    )
    found: dict[str, UUID] = {}
    for _ in range(ATTEMPTS):
        found = {row.key: row.id for row in await ctx.db.execute(statement)}
        rows = [
            {
                "organization_id": ctx.organization_id,
                "id": new_id(),
                "name": written_name(names[key]),
                "key": key,
                "created_by": created_by or ctx.user_id,
                "import_id": import_id,
            }
            for key in sorted(names.keys() - found.keys())
        ]
        if not rows:
            return found
        await ctx.db.execute(insert(Tag).values(rows).on_conflict_do_nothing())
    raise Conflict("Somebody deletes these tags as they are made", code="tag-gone")


async def tags_of(ctx: Ctx, contact_id: UUID) -> list[str]:
    """Names, in their order."""
    found = await ctx.db.scalars(
        select(Tag.name)
        .join(ContactTag, (ContactTag.organization_id == Tag.organization_id) & (ContactTag.tag_id == Tag.id))
        .where(Tag.organization_id == ctx.organization_id, ContactTag.contact_id == contact_id)
        .order_by(Tag.key)
    )
    return list(found)


async def carry_tags(ctx: Ctx, of: UUID, to: UUID) -> list[UUID]:
    """Put on a contact the tags of another that it lacks. Returns those."""
    mine = select(ContactTag.tag_id).where(ContactTag.organization_id == ctx.organization_id)
    lacking = mine.where(
        ContactTag.contact_id == of, ContactTag.tag_id.not_in(mine.where(ContactTag.contact_id == to))
    ).order_by(ContactTag.tag_id)
    ids = list(await ctx.db.scalars(lacking))
    await put_on(ctx, [to], ids)
    return ids


async def take_back_tags(ctx: Ctx, contact_id: UUID, tag_ids: Sequence[UUID]) -> None:
    await take_off(ctx, [contact_id], tag_ids)
