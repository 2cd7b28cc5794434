"""Routes of the trail: read it, take it out, check that nobody changed it."""

from typing import Annotated, Literal
from uuid import UUID

from litestar import Response, Router, get
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from core.audit.permissions import AUDIT_READ
from core.audit.queries import ENTRIES, export_lines
from core.audit.schemas import AuditAction, AuditEntry, Head, Verification
from core.audit.verifying import Verifier
from core.db.pages import DEFAULT_LIMIT, Page
from core.errors import FieldError, Invalid
from core.http.access import InjectedCtx as Ctx
from core.http.access import requires
from core.http.responses import Limit, PageCursor, json_bytes
from core.text import Moment

TableName = Annotated[
    str | None,
    QueryParameter(
        title="a schema and a table, as in networking.contacts",
        max_length=127,
        pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$(?!\n)",
        description="Qualified, as in networking.contacts",
    ),
]
SealNumber = Annotated[int, QueryParameter(ge=0, le=2**53 - 1, description="Start behind this seal, on trust")]
KeptNumber = Annotated[int | None, QueryParameter(ge=1, le=2**53 - 1, description="Number of a head noted before")]
KeptHash = Annotated[
    str | None,
    QueryParameter(
        title="64 hexadecimal digits",
        pattern=r"^[0-9a-f]{64}$(?!\n)",
        max_length=64,
        description="Hash of a head noted before",
    ),
]


@get("/", operation_id="list_audit_entries", summary="Who changed what", guards=[requires(AUDIT_READ)])
async def list_entries(
    ctx: Ctx,
    table_name: TableName = None,
    record_id: FromQuery[UUID | None] = None,
    user_id: FromQuery[UUID | None] = None,
    action: FromQuery[AuditAction | None] = None,
    since: FromQuery[Moment | None] = None,
    until: FromQuery[Moment | None] = None,
    sort: FromQuery[Literal["created_at", "-created_at"]] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[AuditEntry]]:
    """`since` is included, `until` is not."""
    page = await ctx.page(
        ENTRIES,
        sort=sort,
        limit=limit,
        cursor=cursor,
        table_name=table_name,
        record_id=record_id,
        user_id=user_id,
        action=action,
        since=since,
        until=until,
    )
    return json_bytes(page)


@get("/verify", operation_id="verify_audit", summary="Has anybody changed the trail?", guards=[requires(AUDIT_READ)])
async def verify(
    ctx: Ctx,
    state: State,
    after: SealNumber = 0,
    number: KeptNumber = None,
    hash: KeptHash = None,  # noqa: A002
) -> Verification:
    """Recomputes the chain of seals. Note the answer's head somewhere else and send it with a later request, as
    `number` and `hash`: then even a chain whose end was cut off is found out."""
    if (number is None) != (hash is None):
        message = "A head is a number and a hash"
        raise Invalid(
            message, errors=[FieldError(field="number" if number is None else "hash", code="required", message=message)]
        )
    kept = Head(number=number, hash=hash) if number is not None and hash is not None else None
    return await _verifier(state).verify(ctx.organization_id, after=after, kept=kept)


def _verifier(state: State) -> Verifier:
    return state.verifier


@get(
    "/export.ndjson",
    operation_id="export_audit",
    summary="The whole trail, one entry a line",
    media_type="application/x-ndjson",
    guards=[requires(AUDIT_READ)],
)
async def export(ctx: Ctx) -> Stream:
    await ctx.note_read("core.audit_logs", format="ndjson")
    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"', "X-Content-Type-Options": "nosniff"}
    return Stream(export_lines(ctx.reads), media_type="application/x-ndjson", headers=headers)


def audit_router() -> Router:
    return Router("/api/v1/audit", route_handlers=[list_entries, verify, export], tags=["Audit"])
