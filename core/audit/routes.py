"""Routes of the trail: read it, take it out, check that nobody changed it."""

from typing import Annotated, Literal
from uuid import UUID

from litestar import Response, Router
from litestar.datastructures import State
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from core.audit.permissions import AUDIT_READ
from core.audit.queries import ENTRIES, export_lines
from core.audit.schemas import AuditAction, AuditEntry, Head, Verification
from core.audit.verifying import Verifier
from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import requires
from core.http.handlers import get
from core.http.responses import Limit, PageCursor, json_bytes
from core.tasks.context import Ctx
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


def _noted_head(description: str) -> QueryParameter:
    pattern = r"^[1-9][0-9]{0,14}:[0-9a-f]{64}$(?!\n)"
    return QueryParameter(title="the head of an answer", max_length=80, pattern=pattern, description=description)


NotedHead = Annotated[str | None, _noted_head("A head that was noted before: is it still in the chain?")]
StartHead = Annotated[str | None, _noted_head("Start behind this head, instead of at the first seal")]


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
async def verify(ctx: Ctx, state: State, after: StartHead = None, head: NotedHead = None) -> Verification:
    """Recomputes the chain of seals. Note the answer's head outside of the system, and send it along some time later:
    then even a chain whose end was cut off is found out."""
    return await _verifier(state).verify(
        ctx.organization_id,
        after=None if after is None else Head.parse(after),
        kept=None if head is None else Head.parse(head),
    )


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
