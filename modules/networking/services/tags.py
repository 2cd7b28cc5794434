"""Tags: made, renamed, merged, deleted; put on contacts and taken off."""

from collections.abc import Collection, Sequence
from itertools import batched
from uuid import UUID

from msgspec import UNSET
from sqlalchemy import ARRAY, Text, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from core.sdk import Conflict, Ctx, FieldError, Invalid, NotFound, check_if_match, new_id
from modules.networking.contract import ContactUpdated
from modules.networking.keys import name_key
from modules.networking.models import Contact
from modules.networking.saved_view_models import SavedView
from modules.networking.tag_models import ContactTag, Tag
from modules.networking.tag_schemas import TaggedContact, TaggingIn, TaggingOutcome, TagIn, TagPatch
from modules.networking.visibility import contacts_with_rights

PAIRS_A_STATEMENT = 2000


def _named(name: str) -> dict[str, str]:
    key = name_key(name)
    if not key:
        message = "Expected a name that can be seen"
        raise Invalid(message, errors=[FieldError(field="name", code="blank", message=message)])
    return {"name": " ".join(name.split()), "key": key}


async def create_tag(ctx: Ctx, data: TagIn) -> Tag:
    """Raises `Conflict` (`tag-exists`) where there is one by that name, however it is written."""
    named = _named(data.name)
    await _refuse_taken(ctx, named["key"])
    tag = Tag(**named, colour=data.colour, created_by=ctx.user_id)
    ctx.db.add(tag)
    await ctx.db.flush()
    return tag


async def find_tag(ctx: Ctx, tag_id: UUID, *, lock: bool = False) -> Tag:
    statement = select(Tag).where(Tag.organization_id == ctx.organization_id, Tag.id == tag_id)
    tag = await ctx.db.scalar(statement.with_for_update() if lock else statement)
    if tag is None:
        raise NotFound("There is no such tag")
    return tag


async def update_tag(ctx: Ctx, tag_id: UUID, data: TagPatch, *, if_match: str | None) -> Tag:
    """Raises `Conflict` (`tag-exists`) where another one has the name: merge the two."""
    tag = await find_tag(ctx, tag_id)
    check_if_match(if_match, tag.version)
    if data.name is not UNSET:
        named = _named(data.name)
        if named["key"] != tag.key:
            await _refuse_taken(ctx, named["key"])
        old, tag.name, tag.key = tag.name, named["name"], named["key"]
        if old != tag.name:
            await ctx.db.flush()
            await _follow(ctx, old, tag.name)
    if data.colour is not UNSET:
        tag.colour = data.colour
    await ctx.db.flush()
    return tag


async def _refuse_taken(ctx: Ctx, key: str) -> None:
    taken = await ctx.db.scalar(select(Tag.id).where(Tag.organization_id == ctx.organization_id, Tag.key == key))
    if taken is not None:
        message = "There is a tag by this name"
        raise Conflict(
            message,
            code="tag-exists",
            conflicts_with=[taken],
            errors=[FieldError(field="name", code="duplicate", message=message)],
        )


async def delete_tag(ctx: Ctx, tag_id: UUID, *, if_match: str | None) -> None:
    """It goes from all contacts that have it."""
    tag = await find_tag(ctx, tag_id, lock=True)
    check_if_match(if_match, tag.version)
    await ctx.db.delete(tag)
    await ctx.db.flush()


async def merge_tags(ctx: Ctx, tag_id: UUID, other_id: UUID) -> Tag:
    """Whoever has the other tag has this one instead, and the other one is gone."""
    if tag_id == other_id:
        raise Invalid("A tag can't be merged into itself", code="same-tag")
    tags = {tag.id: tag for tag in await _locked(ctx, [tag_id, other_id], for_update=True)}
    if len(tags) < 2:
        raise NotFound("There is no such tag")
    having = select(ContactTag.contact_id).where(
        ContactTag.organization_id == ctx.organization_id, ContactTag.tag_id == other_id
    )
    ids = (await ctx.db.scalars(having)).all()
    await _put_on(ctx, ids, [tag_id])
    await ctx.db.delete(tags[other_id])
    await ctx.db.flush()
    await _follow(ctx, tags[other_id].name, tags[tag_id].name)
    return tags[tag_id]


async def _follow(ctx: Ctx, old: str, new: str) -> None:
    """Saved views that ask for the tag ask for it by the name that it has now."""
    renamed = func.jsonb_set(SavedView.filters, cast(["tag"], ARRAY(Text)), func.to_jsonb(cast(new, Text)))
    await ctx.db.execute(
        update(SavedView)
        .where(SavedView.organization_id == ctx.organization_id, SavedView.filters["tag"].astext == old)
        .values(filters=renamed, version=SavedView.version + 1)
        .execution_options(synchronize_session=False)
    )


async def tag_contacts(ctx: Ctx, data: TaggingIn) -> list[TaggedContact]:
    """Raises `NotFound` for an unknown tag; what can't be done to a contact is its own outcome."""
    wanted = {*data.add, *data.remove}
    if len(await _locked(ctx, wanted)) < len(wanted):
        raise NotFound("There is no such tag")
    rights = await _rights(ctx, data.contact_ids)
    ids = [contact_id for contact_id, may_change in rights.items() if may_change]
    added = await _put_on(ctx, ids, [tag_id for tag_id in data.add if tag_id not in data.remove])
    removed = await _take_off(ctx, ids, data.remove)
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


async def _locked(ctx: Ctx, ids: Collection[UUID], *, for_update: bool = False) -> Sequence[Tag]:
    """Tags that nobody can delete before this transaction is over, nor change where it is `for_update`."""
    found = await ctx.db.scalars(
        select(Tag)
        .where(Tag.organization_id == ctx.organization_id, Tag.id.in_(ids))
        .order_by(Tag.id)
        .with_for_update(read=not for_update, key_share=not for_update)
    )
    return found.all()


async def _put_on(ctx: Ctx, contact_ids: Sequence[UUID], tag_ids: Sequence[UUID]) -> set[UUID]:
    """Returns the contacts that did not have one of them."""
    changed: set[UUID] = set()
    pairs = ((contact_id, tag_id) for contact_id in contact_ids for tag_id in dict.fromkeys(tag_ids))
    for some in batched(pairs, PAIRS_A_STATEMENT):
        rows = [
            {
                "organization_id": ctx.organization_id,
                "id": new_id(),
                "contact_id": contact_id,
                "tag_id": tag_id,
                "created_by": ctx.user_id,
            }
            for contact_id, tag_id in some
        ]
        statement = insert(ContactTag).values(rows).on_conflict_do_nothing()
        changed |= set(await ctx.db.scalars(statement.returning(ContactTag.contact_id)))
    return changed


async def _take_off(ctx: Ctx, contact_ids: Sequence[UUID], tag_ids: Sequence[UUID]) -> set[UUID]:
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
    await _put_on(ctx, [to], ids)
    return ids


async def take_back_tags(ctx: Ctx, contact_id: UUID, tag_ids: Sequence[UUID]) -> None:
    await _take_off(ctx, [contact_id], tag_ids)
