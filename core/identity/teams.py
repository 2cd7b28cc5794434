"""Teams, and who is in them."""

from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy import bindparam, delete
from sqlalchemy.dialects.postgresql import insert

from core.db.pages import ListQuery
from core.errors import NotFound
from core.http.conditions import check_if_match
from core.identity.members import find_membership
from core.identity.models import User
from core.identity.organization_models import Team, TeamMember
from core.identity.organization_schemas import TeamIn, TeamOut, TeamPatch
from core.identity.rows import find_living
from core.ids import new_id
from core.tasks.context import Ctx

COLUMNS = tuple(getattr(Team, name) for name in TeamOut.__struct_fields__)
SORTS = {"name": Team.name, "created_at": Team.created_at}
TEAMS = ListQuery(Team, columns=COLUMNS, where=[~Team.is_deleted], sorts=SORTS, default_sort="name")
DELETED_TEAMS = ListQuery(Team, columns=COLUMNS, where=[Team.is_deleted], sorts=SORTS, default_sort="name")
TEAM_MEMBERS = ListQuery(
    TeamMember,
    columns=(
        TeamMember.id,
        TeamMember.user_id,
        User.email,
        User.first_name,
        User.last_name,
        TeamMember.created_at,
    ),
    where=[User.id == TeamMember.user_id],
    filters={"team_id": TeamMember.team_id == bindparam("team_id")},
    sorts={"created_at": TeamMember.created_at},
)


def team_out(team: Team) -> TeamOut:
    return msgspec.convert(team, TeamOut, from_attributes=True)


async def create_team(ctx: Ctx, data: TeamIn) -> Team:
    team = Team(name=data.name, description=data.description)
    ctx.db.add(team)
    await ctx.db.flush()
    return team


async def update_team(ctx: Ctx, team_id: UUID, data: TeamPatch, *, if_match: str | None) -> Team:
    """Raises `PreconditionFailed` where the team changed since the client read it."""
    team = await find_living(ctx, Team, team_id)
    check_if_match(if_match, team.version)
    for name, value in msgspec.structs.asdict(data).items():
        if value is not UNSET:
            setattr(team, name, value)
    await ctx.db.flush()
    return team


async def add_team_member(ctx: Ctx, team_id: UUID, user_id: UUID) -> None:
    """Does nothing where they are in it. Raises `NotFound` for somebody who is no member of the organization."""
    team = await find_living(ctx, Team, team_id)
    member = await find_membership(ctx, user_id)
    await ctx.db.execute(
        insert(TeamMember)
        .values(organization_id=ctx.organization_id, id=new_id(), team_id=team.id, user_id=member.user_id)
        .on_conflict_do_nothing()
    )


async def remove_team_member(ctx: Ctx, team_id: UUID, user_id: UUID) -> None:
    team = await find_living(ctx, Team, team_id)
    removed = await ctx.db.execute(
        delete(TeamMember)
        .where(
            TeamMember.organization_id == ctx.organization_id,
            TeamMember.team_id == team.id,
            TeamMember.user_id == user_id,
        )
        .returning(TeamMember.id)
    )
    if removed.first() is None:
        raise NotFound("They are not in this team")
