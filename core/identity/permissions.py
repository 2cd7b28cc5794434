"""What the core's own routes need, and what a person may do, as of now.

A person holds what their system role holds, and beyond that what the custom roles give that were granted to them: in
the whole organization, or for one team.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ARRAY, ColumnElement, Text, Uuid, func, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.asyncio import AsyncSession

from core.identity.models import Membership
from core.identity.organization_models import CustomRole, RoleGrant, Team, TeamMember
from core.permissions import Permission, Role

ORGANIZATION_READ = Permission("organization:read", "See the organization's settings, plan and quotas")
ORGANIZATION_WRITE = Permission("organization:write", "Change the organization's settings", least=Role.ADMIN)
ORGANIZATION_DELETE = Permission("organization:delete", "Delete the organization", least=Role.OWNER)
MEMBERS_READ = Permission("members:read", "See who belongs to the organization")
MEMBERS_WRITE = Permission("members:write", "Change roles, deactivate and remove people", least=Role.ADMIN)
TEAMS_READ = Permission("teams:read", "See teams and who is in them")
TEAMS_WRITE = Permission("teams:write", "Make teams and say who is in them", least=Role.MANAGER)
INVITATIONS_READ = Permission("invitations:read", "See invitations", least=Role.MANAGER)
INVITATIONS_WRITE = Permission("invitations:write", "Invite people, up to one's own role", least=Role.ADMIN)
ROLES_READ = Permission("roles:read", "See roles, permissions and who holds which")
ROLES_WRITE = Permission("roles:write", "Make roles and grant them, up to one's own permissions", least=Role.ADMIN)
API_KEYS_READ = Permission("api_keys:read", "See the API keys", least=Role.ADMIN)
API_KEYS_WRITE = Permission("api_keys:write", "Make, replace and revoke API keys", least=Role.ADMIN)
MODULES_READ = Permission("modules:read", "See the organization's modules and their settings", least=Role.MANAGER)
MODULES_WRITE = Permission("modules:write", "Change the settings of modules", least=Role.ADMIN)
PERMISSIONS = (
    ORGANIZATION_READ,
    ORGANIZATION_WRITE,
    ORGANIZATION_DELETE,
    MEMBERS_READ,
    MEMBERS_WRITE,
    TEAMS_READ,
    TEAMS_WRITE,
    INVITATIONS_READ,
    INVITATIONS_WRITE,
    ROLES_READ,
    ROLES_WRITE,
    API_KEYS_READ,
    API_KEYS_WRITE,
    MODULES_READ,
    MODULES_WRITE,
)

type Grants = list[list[Any]]
"""`[team or null, [permission, …]]` for each custom role that a person holds."""


class EffectivePermissions(Struct, frozen=True):
    role: str
    permissions: frozenset[str]
    team_permissions: Mapping[UUID, frozenset[str]]


def grants_of_member() -> ColumnElement[Grants]:
    """For the SELECT that finds a `Membership`: the grants that go with it, as JSON."""
    granted = func.jsonb_build_array(sql_cast(RoleGrant.team_id, Text), CustomRole.permissions)
    return (
        select(func.coalesce(func.jsonb_agg(granted), func.jsonb_build_array()))
        .select_from(RoleGrant)
        .join(
            CustomRole,
            (CustomRole.organization_id == RoleGrant.organization_id) & (CustomRole.id == RoleGrant.role_id),
        )
        .outerjoin(Team, (Team.organization_id == RoleGrant.organization_id) & (Team.id == RoleGrant.team_id))
        .where(
            RoleGrant.organization_id == Membership.organization_id,
            RoleGrant.user_id == Membership.user_id,
            ~CustomRole.is_deleted,
            Team.is_deleted.is_not(True),
        )
        .correlate(Membership)
        .scalar_subquery()
    )


def teams_of_member() -> ColumnElement[Any]:
    """For the SELECT that finds a `Membership`: the teams that they are in, as a list of ids."""
    return func.array(
        select(TeamMember.team_id)
        .join(Team, (Team.organization_id == TeamMember.organization_id) & (Team.id == TeamMember.team_id))
        .where(
            TeamMember.organization_id == Membership.organization_id,
            TeamMember.user_id == Membership.user_id,
            ~Team.is_deleted,
        )
        .correlate(Membership)
        .scalar_subquery(),
        type_=ARRAY(Uuid),
    )


def weigh(role: str, grants: Grants, by_role: Mapping[str, frozenset[str]]) -> EffectivePermissions:
    """`by_role` is what `core.permissions.permissions_by_role` makes of all declared permissions."""
    declared = by_role[Role.OWNER.value]
    everywhere = by_role.get(role, frozenset())
    in_teams: dict[UUID, frozenset[str]] = {}
    for team, names in grants:
        given = declared.intersection(names)
        if team is None:
            everywhere |= given
        else:
            in_teams[UUID(team)] = in_teams.get(UUID(team), frozenset()) | given
    return EffectivePermissions(role, everywhere, in_teams)


async def effective_permissions(
    session: AsyncSession, organization_id: UUID, user_id: UUID, *, by_role: Mapping[str, frozenset[str]]
) -> EffectivePermissions | None:
    """What a member may do, in one query; None where they are no active member. Any lane's session will do."""
    found = (
        await session.execute(
            select(Membership.role, grants_of_member()).where(
                Membership.organization_id == organization_id, Membership.user_id == user_id, Membership.is_active
            )
        )
    ).one_or_none()
    return None if found is None else weigh(found[0], found[1], by_role)


def rank_of(role: str) -> int:
    return Role(role).rank


def beyond(held: frozenset[str], wanted: Iterable[str]) -> list[str]:
    """The permissions that are wanted and not held."""
    return sorted(set(wanted) - held)
