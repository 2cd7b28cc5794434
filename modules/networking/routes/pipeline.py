"""The pipeline: move a contact, see where it has been, what happened with it, and how all of them fare."""

from datetime import date
from typing import Annotated
from uuid import UUID

from core.sdk import (
    DEFAULT_LIMIT,
    TIME_ZONES,
    Ctx,
    FromPath,
    IfMatch,
    JSONBody,
    Limit,
    Page,
    PageCursor,
    QueryParameter,
    Response,
    Tagged,
    get,
    json_bytes,
    limited,
    post,
    requires,
    tagged,
)
from modules.networking.permissions import READ, WRITE
from modules.networking.routes.contacts import AllowDuplicate
from modules.networking.schemas import ContactOut
from modules.networking.services import contacts
from modules.networking.services.funnel import funnel_of
from modules.networking.stage_queries import STAGES, TIMELINE
from modules.networking.stage_schemas import FunnelOut, StageMove, StageOut, TimelineEntry
from modules.networking.views import contact_out

REAL = {"pattern": "^(?!0000|0001|9999)", "examples": ["2026-03-01"]}
"""The outermost years are refused: there, midnight may not exist in UTC."""
Since = Annotated[
    date | None,
    QueryParameter(name="from", description="The first day; without it, from ever", schema_extra=REAL),
]
Until = Annotated[
    date | None,
    QueryParameter(name="to", description="The day after the last; without it, up to now", schema_extra=REAL),
]
Zone = Annotated[
    str | None,
    QueryParameter(
        description="The IANA time zone whose midnights bound the days; without it, the organization's",
        max_length=64,
        schema_extra={"enum": sorted(TIME_ZONES)},
    ),
]
Owner = Annotated[UUID | None, QueryParameter(description="Only contacts that this member owns")]


@post(
    "/contacts/{contact_id:uuid}/stage",
    operation_id="move_contact",
    summary="Take a contact to another stage, with what that takes: submit a plug",
    status_code=200,
    guards=[requires(WRITE)],
)
async def move_contact(
    ctx: Ctx,
    contact_id: FromPath[UUID],
    data: JSONBody[StageMove],
    if_match: IfMatch = None,
    allow_duplicate: AllowDuplicate = False,
) -> Tagged[ContactOut]:
    """409 `stage-not-allowed` for a move that the organization doesn't make; 422 with all that is missing."""
    contact = await contacts.move_contact(ctx, contact_id, data, if_match=if_match, allow_duplicate=allow_duplicate)
    return tagged(await contact_out(ctx, contact), version=contact.version)


@get(
    "/contacts/{contact_id:uuid}/stages",
    operation_id="list_stages",
    summary="The stages that a contact has been through, and for how long",
    guards=[requires(READ)],
)
async def list_stages(
    ctx: Ctx, contact_id: FromPath[UUID], limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None
) -> Response[Page[StageOut]]:
    contact = await contacts.find_contact(ctx, contact_id)
    return json_bytes(await ctx.page(STAGES, limit=limit, cursor=cursor, contact_id=contact.id))


@get(
    "/contacts/{contact_id:uuid}/timeline",
    operation_id="get_timeline",
    summary="All that happened with a contact, the latest first",
    guards=[requires(READ)],
)
async def get_timeline(
    ctx: Ctx, contact_id: FromPath[UUID], limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None
) -> Response[Page[TimelineEntry]]:
    """Its creation, interactions, changes of stage, and the contacts that were merged into it."""
    contact = await contacts.find_contact(ctx, contact_id)
    return json_bytes(await ctx.page(TIMELINE, limit=limit, cursor=cursor, contact_id=contact.id))


@get(
    "/funnel",
    operation_id="get_funnel",
    summary="How many contacts came to each stage, and what became of them",
    guards=[requires(READ)],
    opt=limited("expensive"),
)
async def get_funnel(
    ctx: Ctx, since: Since = None, until: Until = None, zone: Zone = None, owner_id: Owner = None
) -> FunnelOut:
    return await funnel_of(ctx, since=since, until=until, zone=zone, owner_id=owner_id)


PIPELINE_ROUTES = (move_contact, list_stages, get_timeline, get_funnel)
