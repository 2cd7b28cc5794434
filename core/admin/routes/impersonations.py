"""Standing in somebody's place, for operators."""

from typing import Any, Literal
from uuid import UUID

from litestar import Response
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from core.admin import impersonations
from core.admin.routes.access import OPERATING, platform_of
from core.admin.schemas import ImpersonationIn, ImpersonationMade, ImpersonationOut
from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import operates
from core.http.handlers import delete, get, post
from core.http.idempotency import NO_KEY
from core.http.openapi import ALSO
from core.http.responses import Limit, PageCursor, json_bytes
from core.identity.operators import PLATFORM_IMPERSONATE, PLATFORM_READ
from core.tasks.context import Ctx


@get(
    "/",
    operation_id="list_impersonations",
    summary="Who stood in whose place, and why",
    guards=[operates(PLATFORM_READ)],
    opt=OPERATING,
)
async def list_impersonations(
    ctx: Ctx,
    state: State,
    operator_id: FromQuery[UUID | None] = None,
    organization_id: FromQuery[UUID | None] = None,
    living: FromQuery[bool | None] = None,
    sort: FromQuery[Literal["created_at", "-created_at"]] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[ImpersonationOut]]:
    page = await platform_of(state).page(
        impersonations.IMPERSONATIONS,
        sort=sort,
        limit=limit,
        cursor=cursor,
        operator_id=operator_id,
        organization_id=organization_id,
        living=living,
    )
    return json_bytes(page)


@post(
    "/",
    operation_id="impersonate",
    summary="Stand in somebody's place, to look unless `writes`",
    guards=[operates(PLATFORM_IMPERSONATE)],
    opt={**OPERATING, NO_KEY: True, ALSO: (404,)},
)
async def impersonate(ctx: Ctx, state: State, data: JSONBody[ImpersonationIn]) -> ImpersonationMade:
    return await impersonations.begin_impersonation(platform_of(state), ctx.principal, data)


@get(
    "/{impersonation_id:uuid}",
    operation_id="get_impersonation",
    summary="An impersonation",
    guards=[operates(PLATFORM_READ)],
    opt=OPERATING,
)
async def get_impersonation(ctx: Ctx, state: State, impersonation_id: FromPath[UUID]) -> ImpersonationOut:
    return await impersonations.get_impersonation(platform_of(state), impersonation_id)


@delete(
    "/{impersonation_id:uuid}",
    operation_id="end_impersonation",
    summary="End an impersonation",
    guards=[operates(PLATFORM_IMPERSONATE)],
    opt=OPERATING,
)
async def end_impersonation(ctx: Ctx, state: State, impersonation_id: FromPath[UUID]) -> None:
    await impersonations.end_impersonation(platform_of(state), impersonation_id)


IMPERSONATION_ROUTES: list[Any] = [list_impersonations, impersonate, get_impersonation, end_impersonation]
