"""Teams. Whoever holds `teams:write` for one team looks after that team alone."""

from typing import Literal
from uuid import UUID

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import requires
from core.http.handlers import delete, get, patch, post, put
from core.http.responses import IfMatch, Limit, PageCursor, Tagged, json_bytes, tagged
from core.identity import teams
from core.identity.organization_models import Team
from core.identity.organization_schemas import TeamIn, TeamMemberOut, TeamOut, TeamPatch
from core.identity.permissions import TEAMS_READ, TEAMS_WRITE
from core.identity.rows import delete_row, find_living, restore_row
from core.tasks.context import Ctx

TeamSort = Literal["name", "-name", "created_at", "-created_at"]
JoinedSort = Literal["created_at", "-created_at"]
THIS_TEAM = requires(TEAMS_WRITE, team="team_id")


@post("/", operation_id="create_team", summary="Make a team", guards=[requires(TEAMS_WRITE)])
async def create_team(ctx: Ctx, data: JSONBody[TeamIn]) -> Tagged[TeamOut]:
    team = await teams.create_team(ctx, data)
    return tagged(teams.team_out(team), version=team.version, status_code=201)


@get("/", operation_id="list_teams", summary="List teams", guards=[requires(TEAMS_READ)])
async def list_teams(
    ctx: Ctx,
    is_deleted: FromQuery[bool] = False,
    sort: FromQuery[TeamSort] = "name",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[TeamOut]]:
    listed = teams.DELETED_TEAMS if is_deleted else teams.TEAMS
    return json_bytes(await ctx.page(listed, sort=sort, limit=limit, cursor=cursor))


@get("/{team_id:uuid}", operation_id="get_team", summary="One team", guards=[requires(TEAMS_READ)])
async def get_team(ctx: Ctx, team_id: FromPath[UUID]) -> Tagged[TeamOut]:
    team = await find_living(ctx, Team, team_id)
    return tagged(teams.team_out(team), version=team.version)


@patch("/{team_id:uuid}", operation_id="update_team", summary="Change a team", guards=[THIS_TEAM])
async def update_team(
    ctx: Ctx, team_id: FromPath[UUID], data: JSONBody[TeamPatch], if_match: IfMatch = None
) -> Tagged[TeamOut]:
    team = await teams.update_team(ctx, team_id, data, if_match=if_match)
    return tagged(teams.team_out(team), version=team.version)


@delete("/{team_id:uuid}", operation_id="delete_team", summary="Delete a team", guards=[requires(TEAMS_WRITE)])
async def delete_team(ctx: Ctx, team_id: FromPath[UUID], if_match: IfMatch = None) -> None:
    await delete_row(ctx, await find_living(ctx, Team, team_id), if_match=if_match)


@post(
    "/{team_id:uuid}/restore",
    operation_id="restore_team",
    summary="Bring a deleted team back",
    status_code=200,
    guards=[requires(TEAMS_WRITE)],
)
async def restore_team(ctx: Ctx, team_id: FromPath[UUID]) -> Tagged[TeamOut]:
    team = await restore_row(ctx, Team, team_id)
    return tagged(teams.team_out(team), version=team.version)


@get(
    "/{team_id:uuid}/members",
    operation_id="list_team_members",
    summary="Who is in a team",
    guards=[requires(TEAMS_READ)],
)
async def list_team_members(
    ctx: Ctx,
    team_id: FromPath[UUID],
    sort: FromQuery[JoinedSort] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[TeamMemberOut]]:
    await find_living(ctx, Team, team_id)
    return json_bytes(await ctx.page(teams.TEAM_MEMBERS, sort=sort, limit=limit, cursor=cursor, team_id=team_id))


@put(
    "/{team_id:uuid}/members/{user_id:uuid}",
    operation_id="add_team_member",
    summary="Put a member into a team",
    status_code=204,
    guards=[THIS_TEAM],
)
async def add_team_member(ctx: Ctx, team_id: FromPath[UUID], user_id: FromPath[UUID]) -> None:
    await teams.add_team_member(ctx, team_id, user_id)


@delete(
    "/{team_id:uuid}/members/{user_id:uuid}",
    operation_id="remove_team_member",
    summary="Take somebody out of a team",
    guards=[THIS_TEAM],
)
async def remove_team_member(ctx: Ctx, team_id: FromPath[UUID], user_id: FromPath[UUID]) -> None:
    await teams.remove_team_member(ctx, team_id, user_id)


TEAM_ROUTES = (
    create_team,
    list_teams,
    get_team,
    update_team,
    delete_team,
    restore_team,
    list_team_members,
    add_team_member,
    remove_team_member,
)
