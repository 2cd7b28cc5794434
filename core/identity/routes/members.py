"""Members of the organization."""

from typing import Literal
from uuid import UUID

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import requires
from core.http.handlers import delete, get, patch
from core.http.responses import IfMatch, Limit, PageCursor, Tagged, json_bytes, tagged
from core.identity import members
from core.identity.organization_schemas import MemberOut, MemberPatch
from core.identity.permissions import MEMBERS_READ, MEMBERS_WRITE
from core.permissions import Role
from core.tasks.context import Ctx

MemberSort = Literal[
    "created_at", "-created_at", "email", "-email", "first_name", "-first_name", "last_name", "-last_name"
]


@get("/", operation_id="list_members", summary="Who belongs here", guards=[requires(MEMBERS_READ)])
async def list_members(
    ctx: Ctx,
    role: FromQuery[Role | None] = None,
    is_active: FromQuery[bool | None] = None,
    sort: FromQuery[MemberSort] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[MemberOut]]:
    page = await ctx.page(members.MEMBERS, sort=sort, limit=limit, cursor=cursor, role=role, is_active=is_active)
    return json_bytes(page)


@get("/{user_id:uuid}", operation_id="get_member", summary="One member", guards=[requires(MEMBERS_READ)])
async def get_member(ctx: Ctx, user_id: FromPath[UUID]) -> Tagged[MemberOut]:
    member = await members.get_member(ctx, user_id)
    return tagged(member, version=member.version)


@patch(
    "/{user_id:uuid}",
    operation_id="update_member",
    summary="Change a member's role, deactivate or reactivate them",
    guards=[requires(MEMBERS_WRITE)],
)
async def update_member(
    ctx: Ctx, user_id: FromPath[UUID], data: JSONBody[MemberPatch], if_match: IfMatch = None
) -> Tagged[MemberOut]:
    member = await members.change_member(ctx, user_id, data, if_match=if_match)
    return tagged(member, version=member.version)


@delete("/{user_id:uuid}", operation_id="remove_member", summary="Remove a member", guards=[requires(MEMBERS_WRITE)])
async def remove_member(ctx: Ctx, user_id: FromPath[UUID], if_match: IfMatch = None) -> None:
    await members.remove_member(ctx, user_id, if_match=if_match)


MEMBER_ROUTES = (list_members, get_member, update_member, remove_member)
