"""Organizations and their modules, for operators."""

from typing import Any, Literal
from uuid import UUID

from litestar import Response
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from core.admin import modules, organizations
from core.admin.routes.access import OPERATING, Search, platform_of
from core.admin.schemas import SuspensionIn, TenantIn, TenantOut, TenantPatch, TenantState
from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import operates
from core.http.handlers import delete, get, patch, post, put
from core.http.responses import IfMatch, Limit, PageCursor, Tagged, json_bytes, tagged
from core.identity.module_schemas import ModuleOut, ModuleSwitchIn, ModuleSwitchOut
from core.identity.operators import PLATFORM_READ, PLATFORM_WRITE
from core.identity.organization_schemas import DeletionOut, SlugIn
from core.tasks.context import Ctx

ORGANIZATION = "/{organization_id:uuid}"
type TenantSort = Literal["created_at", "-created_at", "name", "-name", "slug", "-slug"]


@get("/", operation_id="list_tenants", summary="All organizations", guards=[operates(PLATFORM_READ)], opt=OPERATING)
async def list_tenants(
    ctx: Ctx,
    state: State,
    q: Search = None,
    status: FromQuery[TenantState | None] = None,
    sort: FromQuery[TenantSort] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[TenantOut]]:
    page = await platform_of(state).page(
        organizations.TENANTS, sort=sort, limit=limit, cursor=cursor, q=q, status=status
    )
    return json_bytes(page)


@post(
    "/",
    operation_id="create_tenant",
    summary="Make an organization; its owner is invited",
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def create_tenant(ctx: Ctx, state: State, data: JSONBody[TenantIn]) -> TenantOut:
    return await organizations.create_tenant(platform_of(state), ctx.principal, data)


@get(
    ORGANIZATION,
    operation_id="get_tenant",
    summary="An organization",
    guards=[operates(PLATFORM_READ)],
    opt=OPERATING,
)
async def get_tenant(ctx: Ctx, state: State, organization_id: FromPath[UUID]) -> Tagged[TenantOut]:
    found = await organizations.get_tenant(platform_of(state), organization_id)
    return tagged(found, version=found.version)


@patch(
    ORGANIZATION,
    operation_id="update_tenant",
    summary="Change an organization's plan",
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def update_tenant(
    ctx: Ctx, state: State, organization_id: FromPath[UUID], data: JSONBody[TenantPatch], if_match: IfMatch = None
) -> Tagged[TenantOut]:
    plan = data.subscription_plan
    changed = await organizations.change_plan(platform_of(state), organization_id, plan, if_match=if_match)
    return tagged(changed, version=changed.version)


@put(
    f"{ORGANIZATION}/suspension",
    operation_id="suspend_tenant",
    summary="Close an organization until it is opened again; its jobs wait",
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def suspend_tenant(
    ctx: Ctx, state: State, organization_id: FromPath[UUID], data: JSONBody[SuspensionIn]
) -> TenantOut:
    return await organizations.suspend_tenant(platform_of(state), organization_id, data.reason)


@delete(
    f"{ORGANIZATION}/suspension",
    operation_id="open_tenant",
    summary="End an organization's suspension",
    status_code=200,
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def open_tenant(ctx: Ctx, state: State, organization_id: FromPath[UUID]) -> TenantOut:
    return await organizations.open_tenant(platform_of(state), organization_id)


@post(
    f"{ORGANIZATION}/deletion",
    operation_id="delete_tenant",
    summary="Delete an organization; it can be brought back within the grace",
    status_code=200,
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def delete_tenant(ctx: Ctx, state: State, organization_id: FromPath[UUID], data: JSONBody[SlugIn]) -> DeletionOut:
    return await organizations.delete_tenant(platform_of(state), organization_id, data.slug)


@post(
    f"{ORGANIZATION}/restore",
    operation_id="restore_tenant",
    summary="Bring a deleted organization back",
    status_code=200,
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def restore_tenant(ctx: Ctx, state: State, organization_id: FromPath[UUID]) -> TenantOut:
    return await organizations.restore_tenant(platform_of(state), organization_id)


@post(
    f"{ORGANIZATION}/purge",
    operation_id="purge_tenant",
    summary="End a deleted organization's grace: all that is in it goes, for good, within minutes",
    status_code=202,
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def purge_tenant(ctx: Ctx, state: State, organization_id: FromPath[UUID], data: JSONBody[SlugIn]) -> TenantOut:
    return await organizations.end_grace(platform_of(state), organization_id, data.slug)


@get(
    f"{ORGANIZATION}/modules",
    operation_id="list_tenant_modules",
    summary="An organization's modules",
    guards=[operates(PLATFORM_READ)],
    opt=OPERATING,
)
async def list_tenant_modules(ctx: Ctx, state: State, organization_id: FromPath[UUID]) -> Page[ModuleOut]:
    items = await modules.list_modules_of(platform_of(state), ctx.principal, organization_id)
    return Page(items=items, next_cursor=None)


@put(
    f"{ORGANIZATION}/modules/{{name:str}}",
    operation_id="switch_module",
    summary="Turn a module on or off for an organization, or see what that would do",
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def switch_module(
    ctx: Ctx, state: State, organization_id: FromPath[UUID], name: FromPath[str], data: JSONBody[ModuleSwitchIn]
) -> ModuleSwitchOut:
    return await modules.switch_module(platform_of(state), ctx.principal, organization_id, name, data)


TENANT_ROUTES: list[Any] = [
    list_tenants,
    create_tenant,
    get_tenant,
    update_tenant,
    suspend_tenant,
    open_tenant,
    delete_tenant,
    restore_tenant,
    purge_tenant,
    list_tenant_modules,
    switch_module,
]
