"""Custom fields."""

from uuid import UUID

from msgspec import convert

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    FromQuery,
    IfMatch,
    JSONBody,
    Limit,
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
from modules.networking.field_models import CustomField
from modules.networking.field_queries import CUSTOM_FIELDS
from modules.networking.field_schemas import FieldIn, FieldOut, FieldPatch
from modules.networking.permissions import FIELDS, READ
from modules.networking.services import fields

FIELD = "/custom-fields/{field_id:uuid}"


@get(
    "/custom-fields",
    operation_id="list_custom_fields",
    summary="What the organization knows of contacts beyond the usual",
    guards=[requires(READ)],
)
async def list_custom_fields(
    ctx: Ctx, archived: FromQuery[bool | None] = None, limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None
) -> Response[Page[FieldOut]]:
    return json_bytes(await ctx.page(CUSTOM_FIELDS, limit=limit, cursor=cursor, archived=archived))


@post("/custom-fields", operation_id="create_custom_field", summary="Define a field", guards=[requires(FIELDS)])
async def create_custom_field(ctx: Ctx, data: JSONBody[FieldIn]) -> Tagged[FieldOut]:
    return _shown(await fields.create_field(ctx, data), status_code=201)


@get(FIELD, operation_id="get_custom_field", summary="One field", guards=[requires(READ)])
async def get_custom_field(ctx: Ctx, field_id: FromPath[UUID]) -> Tagged[FieldOut]:
    return _shown(await fields.find_field(ctx, field_id))


@patch(FIELD, operation_id="update_custom_field", summary="Change or archive a field", guards=[requires(FIELDS)])
async def update_custom_field(
    ctx: Ctx, field_id: FromPath[UUID], data: JSONBody[FieldPatch], if_match: IfMatch = None
) -> Tagged[FieldOut]:
    return _shown(await fields.update_field(ctx, field_id, data, if_match=if_match))


@delete(
    FIELD, operation_id="delete_custom_field", summary="Delete a field that no contact uses", guards=[requires(FIELDS)]
)
async def delete_custom_field(ctx: Ctx, field_id: FromPath[UUID], if_match: IfMatch = None) -> None:
    await fields.delete_field(ctx, field_id, if_match=if_match)


def _shown(field: CustomField, *, status_code: int = 200) -> Tagged[FieldOut]:
    return tagged(convert(field, FieldOut, from_attributes=True), version=field.version, status_code=status_code)


FIELD_ROUTES = (list_custom_fields, create_custom_field, get_custom_field, update_custom_field, delete_custom_field)
