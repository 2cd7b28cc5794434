"""Tags: made, renamed, merged, deleted. Which contact has which is in `tagging`."""

from uuid import UUID

from msgspec import UNSET
from sqlalchemy import ARRAY, Text, cast, func, select, update

from core.sdk import Conflict, Ctx, FieldError, Invalid, NotFound, check_if_match
from modules.networking.keys import name_key
from modules.networking.saved_view_models import SavedView
from modules.networking.services.tagging import NOT_SEEN, locked_tags, put_on, written_name
from modules.networking.tag_models import ContactTag, Tag
from modules.networking.tag_schemas import TagIn, TagPatch


def _named(name: str) -> dict[str, str]:
    key = name_key(name)
    if not key:
        raise Invalid(NOT_SEEN, errors=[FieldError(field="name", code="blank", message=NOT_SEEN)])
    return {"name": written_name(name), "key": key}


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
    tags = {tag.id: tag for tag in await locked_tags(ctx, [tag_id, other_id], for_update=True)}
    if len(tags) < 2:
        raise NotFound("There is no such tag")
    having = select(ContactTag.contact_id).where(
        ContactTag.organization_id == ctx.organization_id, ContactTag.tag_id == other_id
    )
    ids = (await ctx.db.scalars(having)).all()
    await put_on(ctx, ids, [tag_id])
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
