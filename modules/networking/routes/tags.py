"""Tags, and putting them on contacts."""

from uuid import UUID

from msgspec import convert

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    IfMatch,
    JSONBody,
    Limit,
    ListQuery,
    Page,
    PageCursor,
    Response,
    Tagged,
    delete,
    get,
    json_bytes,
    patch,
    post,
    requires,
    tagged,
)
from modules.networking.permissions import READ, TAGS, WRITE
from modules.networking.services import tagging, tags
from modules.networking.tag_models import Tag
from modules.networking.tag_schemas import TaggingIn, TaggingOut, TagIn, TagMergeIn, TagOut, TagPatch

ALL = ListQuery(
    Tag,
    columns=tuple(getattr(Tag, name) for name in TagOut.__struct_fields__),
    sorts={"name": Tag.name, "created_at": Tag.created_at},
    default_sort="name",
)
TAG = "/tags/{tag_id:uuid}"


@get("/tags", operation_id="list_tags", summary="The organization's tags", guards=[requires(READ)])
async def list_tags(ctx: Ctx, limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None) -> Response[Page[TagOut]]:
    return json_bytes(await ctx.page(ALL, limit=limit, cursor=cursor))


@post("/tags", operation_id="create_tag", summary="Add a tag", guards=[requires(WRITE)])
async def create_tag(ctx: Ctx, data: JSONBody[TagIn]) -> Tagged[TagOut]:
    return _shown(await tags.create_tag(ctx, data), status_code=201)


@patch(TAG, operation_id="update_tag", summary="Rename or recolour a tag", guards=[requires(TAGS)])
async def update_tag(
    ctx: Ctx, tag_id: FromPath[UUID], data: JSONBody[TagPatch], if_match: IfMatch = None
) -> Tagged[TagOut]:
    return _shown(await tags.update_tag(ctx, tag_id, data, if_match=if_match))


@delete(TAG, operation_id="delete_tag", summary="Delete a tag, and take it off all contacts", guards=[requires(TAGS)])
async def delete_tag(ctx: Ctx, tag_id: FromPath[UUID], if_match: IfMatch = None) -> None:
    await tags.delete_tag(ctx, tag_id, if_match=if_match)


@post(
    f"{TAG}/merges",
    operation_id="merge_tags",
    summary="Merge another tag into this one",
    status_code=200,
    guards=[requires(TAGS)],
)
async def merge_tags(ctx: Ctx, tag_id: FromPath[UUID], data: JSONBody[TagMergeIn]) -> Tagged[TagOut]:
    return _shown(await tags.merge_tags(ctx, tag_id, data.other_id))


@post(
    "/contacts/tags",
    operation_id="tag_contacts",
    summary="Put tags on contacts, and take tags off",
    status_code=200,
    guards=[requires(WRITE)],
)
async def tag_contacts(ctx: Ctx, data: JSONBody[TaggingIn]) -> TaggingOut:
    return TaggingOut(items=await tagging.tag_contacts(ctx, data))


def _shown(tag: Tag, *, status_code: int = 200) -> Tagged[TagOut]:
    return tagged(convert(tag, TagOut, from_attributes=True), version=tag.version, status_code=status_code)


TAG_ROUTES = (list_tags, create_tag, update_tag, delete_tag, merge_tags, tag_contacts)
