"""Subscription plans and what each allows."""

from uuid import UUID

from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.errors import Conflict
from core.identity.models import Membership, Organization
from core.identity.organization_models import Invitation


class Plan(Struct, frozen=True, kw_only=True):
    """How much an organization may have; None is without limit."""

    members: int | None
    contacts: int | None
    imports_per_day: int | None


PLANS = {
    "free": Plan(members=25, contacts=2_000, imports_per_day=5),
    "team": Plan(members=250, contacts=100_000, imports_per_day=50),
    "enterprise": Plan(members=None, contacts=None, imports_per_day=None),
}


def plan_of(name: str) -> Plan:
    """The smallest one where an operator wrote down a plan that there is no more."""
    return PLANS.get(name, PLANS["free"])


async def members_in_use(session: AsyncSession, organization_id: UUID) -> int:
    """Active members, and the places that pending invitations hold."""
    members = select(func.count()).where(Membership.organization_id == organization_id, Membership.is_active)
    pending = select(func.count()).where(
        Invitation.organization_id == organization_id,
        Invitation.accepted_at.is_(None),
        Invitation.revoked_at.is_(None),
        Invitation.expires_at > clock.now(),
    )
    counted = await session.scalar(select(members.scalar_subquery() + pending.scalar_subquery()))
    return counted or 0


async def check_room_for_member(session: AsyncSession, organization_id: UUID) -> None:
    """Raises `Conflict` where the plan has no place left. Only holds under `lock_organization`."""
    name = await session.scalar(select(Organization.subscription_plan).where(Organization.id == organization_id))
    limit = plan_of(name or "").members
    if limit is not None and await members_in_use(session, organization_id) >= limit:
        raise Conflict(f"The plan allows {limit} members", code="quota-exceeded")
