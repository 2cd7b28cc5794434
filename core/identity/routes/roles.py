"""Permissions, roles of the organization's own, and who holds them."""

from typing import Literal
from uuid import UUID

from litestar import Response
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import requires
from core.http.handlers import delete, get, patch, post
from core.http.responses import IfMatch, Limit, PageCursor, Tagged, json_bytes, tagged
from core.identity import roles
from core.identity.organization_models import CustomRole
from core.identity.organization_schemas import GrantIn, GrantOut, PermissionOut, RoleIn, RoleOut, RolePatch
from core.identity.permissions import ROLES_READ, ROLES_WRITE
from core.identity.rows import find_living
from core.tasks.context import Ctx

RoleSort = Literal["name", "-name", "created_at", "-created_at"]
GrantSort = Literal["created_at", "-created_at"]


@get(
    "/permissions",
    operation_id="list_permissions",
    summary="Every permission, and the system roles that hold it",
    guards=[requires(ROLES_READ)],
    tags=["Roles"],
)
async def list_permissions(ctx: Ctx, state: State) -> Page[PermissionOut]:
    return Page(items=roles.describe_permissions(state.permissions), next_cursor=None)


@post("/", operation_id="create_role", summary="Make a role", guards=[requires(ROLES_WRITE)])
async def create_role(ctx: Ctx, data: JSONBody[RoleIn]) -> Tagged[RoleOut]:
    role = await roles.create_role(ctx, data)
    return tagged(roles.role_out(role), version=role.version, status_code=201)


@get("/", operation_id="list_roles", summary="List the organization's own roles", guards=[requires(ROLES_READ)])
async def list_roles(
    ctx: Ctx,
    is_deleted: FromQuery[bool] = False,
    sort: FromQuery[RoleSort] = "name",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[RoleOut]]:
    listed = roles.DELETED_ROLES if is_deleted else roles.ROLES
    return json_bytes(await ctx.page(listed, sort=sort, limit=limit, cursor=cursor))


@get("/{role_id:uuid}", operation_id="get_role", summary="One role", guards=[requires(ROLES_READ)])
async def get_role(ctx: Ctx, role_id: FromPath[UUID]) -> Tagged[RoleOut]:
    role = await find_living(ctx, CustomRole, role_id)
    return tagged(roles.role_out(role), version=role.version)


@patch("/{role_id:uuid}", operation_id="update_role", summary="Change a role", guards=[requires(ROLES_WRITE)])
async def update_role(
    ctx: Ctx, role_id: FromPath[UUID], data: JSONBody[RolePatch], if_match: IfMatch = None
) -> Tagged[RoleOut]:
    role = await roles.update_role(ctx, role_id, data, if_match=if_match)
    return tagged(roles.role_out(role), version=role.version)


@delete("/{role_id:uuid}", operation_id="delete_role", summary="Delete a role", guards=[requires(ROLES_WRITE)])
async def delete_role(ctx: Ctx, role_id: FromPath[UUID], if_match: IfMatch = None) -> None:
    await roles.delete_role(ctx, role_id, if_match=if_match)


@post(
    "/{role_id:uuid}/restore",
    operation_id="restore_role",
    summary="Bring a deleted role back, with those who held it",
    status_code=200,
    guards=[requires(ROLES_WRITE)],
)
async def restore_role(ctx: Ctx, role_id: FromPath[UUID]) -> Tagged[RoleOut]:
    role = await roles.restore_role(ctx, role_id)
    return tagged(roles.role_out(role), version=role.version)


@post(
    "/",
    operation_id="grant_role",
    summary="Grant a role to a member",
    guards=[requires(ROLES_WRITE)],
    opt={"problems": (404,)},
)
async def grant_role(ctx: Ctx, data: JSONBody[GrantIn]) -> GrantOut:
    return roles.grant_out(await roles.grant_role(ctx, data))


@get("/", operation_id="list_grants", summary="Who holds which role", guards=[requires(ROLES_READ)])
async def list_grants(
    ctx: Ctx,
    user_id: FromQuery[UUID | None] = None,
    role_id: FromQuery[UUID | None] = None,
    team_id: FromQuery[UUID | None] = None,
    sort: FromQuery[GrantSort] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[GrantOut]]:
    page = await ctx.page(
        roles.GRANTS, sort=sort, limit=limit, cursor=cursor, user_id=user_id, role_id=role_id, team_id=team_id
    )
    return json_bytes(page)


@delete("/{grant_id:uuid}", operation_id="withdraw_grant", summary="Withdraw a role", guards=[requires(ROLES_WRITE)])
async def withdraw_grant(ctx: Ctx, grant_id: FromPath[UUID]) -> None:
    await roles.withdraw_grant(ctx, grant_id)


ROLE_ROUTES = (create_role, list_roles, get_role, update_role, delete_role, restore_role)
GRANT_ROUTES = (grant_role, list_grants, withdraw_grant)
