"""An operator in somebody's place: what they may do there, and for how long it counts."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from core import clock
from core.errors import Unauthenticated
from core.identity.models import Membership, Organization, Session, User
from core.identity.operator_models import Impersonation, Operator
from core.identity.operators import is_proven
from core.identity.permissions import (
    API_KEYS_READ,
    API_KEYS_WRITE,
    INVITATIONS_WRITE,
    MEMBERS_WRITE,
    ORGANIZATION_DELETE,
    ROLES_WRITE,
    grants_of_member,
    teams_of_member,
    weigh,
)
from core.identity.sessions import is_living
from core.identity.standing import check_standing
from core.identity.tokens import AccessClaims
from core.principal import Principal, PrincipalKind

WITHHELD = frozenset(
    permission.name
    for permission in (
        API_KEYS_READ,
        API_KEYS_WRITE,
        INVITATIONS_WRITE,
        MEMBERS_WRITE,
        ORGANIZATION_DELETE,
        ROLES_WRITE,
    )
)
"""What would outlast the impersonation: whatever gives somebody access, and the end of the organization."""


async def impersonated(
    system: AsyncSession,
    claims: AccessClaims,
    by_role: Mapping[str, frozenset[str]],
    *,
    needs_second_factor: bool,
) -> Principal:
    """Whom an operator stands in for, as of now: it ends with either's account, with the operator's session and grant.

    Raises `Unauthenticated` where it doesn't count any more, and `Forbidden` where the organization is suspended.
    """
    now, operator = clock.now(), aliased(User)
    found = (
        await system.execute(
            select(Impersonation, Organization.is_active, Membership.role, grants_of_member(), teams_of_member())
            .join(Session, Session.id == Impersonation.session_id)
            .join(Operator, Operator.user_id == Impersonation.operator_id)
            .join(operator, operator.id == Impersonation.operator_id)
            .join(User, User.id == Impersonation.user_id)
            .join(Organization, Organization.id == Impersonation.organization_id)
            .join(
                Membership,
                (Membership.organization_id == Impersonation.organization_id)
                & (Membership.user_id == Impersonation.user_id),
            )
            .where(
                Impersonation.id == claims.impersonation_id,
                Impersonation.user_id == claims.user_id,
                Impersonation.organization_id == claims.organization_id,
                Impersonation.session_id == claims.session_id,
                Impersonation.ended_at.is_(None),
                Impersonation.expires_at > now,
                Session.user_id == Impersonation.operator_id,
                *is_living(now),
                is_proven(needs_second_factor=needs_second_factor),
                operator.is_active,
                operator.is_deleted.is_(False),
                User.is_active,
                User.is_deleted.is_(False),
                Membership.is_active,
                Organization.is_deleted.is_(False),
            )
        )
    ).one_or_none()
    if found is None:
        raise Unauthenticated
    impersonation, is_active, role, grants, teams = found
    check_standing(is_active=is_active)
    held = weigh(role, grants, by_role)
    return Principal(
        kind=PrincipalKind.USER,
        organization_id=impersonation.organization_id,
        user_id=impersonation.user_id,
        impersonator_id=impersonation.operator_id,
        read_only=not impersonation.writes,
        role=held.role,
        permissions=held.permissions - WITHHELD,
        team_permissions={team: names - WITHHELD for team, names in held.team_permissions.items()},
        teams=frozenset(teams),
    )
