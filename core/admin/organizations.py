"""Organizations, as operators look after them: made, suspended, deleted, brought back, purged."""

from uuid import UUID

import msgspec
from sqlalchemy import Text, bindparam, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.admin.platform import Platform, columns_of
from core.admin.schemas import TenantIn, TenantOut
from core.db.pages import ListQuery
from core.errors import Conflict, NotFound
from core.http.conditions import check_if_match
from core.identity.directory import add_organization, claim
from core.identity.letters import link_job
from core.identity.links import LIFETIMES, Purpose
from core.identity.models import Membership, Organization
from core.identity.organization_models import Invitation
from core.identity.organization_schemas import DeletionOut
from core.identity.organizations import bring_back
from core.identity.organizations import delete_organization as delete_as
from core.ids import new_id
from core.permissions import Role
from core.principal import Principal, PrincipalKind
from core.tasks.holding import hold_jobs, release_jobs

STATE = case(
    (Organization.purged_at.is_not(None), "purged"),
    (Organization.is_deleted, "deleted"),
    (~Organization.is_active, "suspended"),
    else_="active",
)
MEMBERS = (
    select(func.count())
    .where(Membership.organization_id == Organization.id, Membership.is_active)
    .correlate(Organization)
    .scalar_subquery()
)
COLUMNS = columns_of(Organization, TenantOut, state=STATE, members=MEMBERS)
WANTED = func.lower(bindparam("q", type_=Text))
TENANTS = ListQuery(
    Organization,
    columns=COLUMNS,
    sorts={"created_at": Organization.created_at, "name": Organization.name, "slug": Organization.slug},
    filters={
        "q": or_(
            *(
                func.strpos(func.lower(column), WANTED) > 0
                for column in (Organization.name, Organization.slug, Organization.domain)
            )
        ),
        "status": bindparam("status", type_=Text) == STATE,
    },
)


async def get_tenant(platform: Platform, organization_id: UUID) -> TenantOut:
    async with platform.database.system() as system:
        return await _told(system, organization_id)


async def create_tenant(platform: Platform, operator: Principal, data: TenantIn) -> TenantOut:
    """Make it, and mail its owner-to-be an invitation. Raises `Conflict` where the short name is taken."""
    now, token_id = clock.now(), new_id()
    purpose, email = Purpose.INVITATION, data.owner_email.lower()
    async with platform.database.system() as system:
        await claim(system, f"slug:{data.slug}")
        if await system.scalar(select(Organization.id).where(Organization.slug == data.slug)) is not None:
            raise Conflict("The short name is taken", code="slug-taken")
        organization = await add_organization(system, name=data.name, slug=data.slug)
        organization.subscription_plan = data.subscription_plan
        system.add(
            Invitation(
                organization_id=organization.id,
                email=email,
                role=Role.OWNER.value,
                team_ids=[],
                token_hash=platform.links.hash(purpose, token_id),
                invited_by=operator.user_id,
                sent_at=now,
                expires_at=now + LIFETIMES[purpose],
            )
        )
        names = {"inviter": "The Plugs", "organization": data.name, "role": Role.OWNER.value}
        system.add(link_job(to=email, purpose=purpose, token_id=token_id, **names))
        await system.flush()
        made = await _told(system, organization.id)
    platform.ring()
    return made


async def change_plan(platform: Platform, organization_id: UUID, plan: str, *, if_match: str | None) -> TenantOut:
    """Members beyond a smaller plan stay; no more can be added."""
    async with platform.database.system() as system:
        organization = await _present(system, organization_id)
        check_if_match(if_match, organization.version)
        organization.subscription_plan = plan
        await system.flush()
        return await _told(system, organization_id)


async def suspend_tenant(platform: Platform, organization_id: UUID, reason: str) -> TenantOut:
    """Close it to its people until it is opened again: nothing is lost, and its jobs wait. Again: another reason."""
    async with platform.database.system() as system:
        organization = await _present(system, organization_id)
        organization.is_active, organization.suspended_reason = False, reason
        organization.suspended_at = organization.suspended_at or clock.now()
        await system.flush()
        await hold_jobs(system, organization_id)
        return await _told(system, organization_id)


async def open_tenant(platform: Platform, organization_id: UUID) -> TenantOut:
    """End its suspension; what waited goes on. Where it is open, nothing happens."""
    async with platform.database.system() as system:
        organization = await _present(system, organization_id)
        organization.is_active = True
        organization.suspended_at = organization.suspended_reason = None
        await system.flush()
        await release_jobs(system, organization_id)
        told = await _told(system, organization_id)
    platform.ring()
    return told


async def delete_tenant(platform: Platform, organization_id: UUID, slug: str) -> DeletionOut:
    """As its owner would; the owners are mailed a link that brings it back. Raises `Conflict` for a wrong `slug`."""
    async with platform.database.system() as system:
        await _present(system, organization_id)
    in_it = Principal(kind=PrincipalKind.OPERATOR, organization_id=organization_id)
    deletion = await delete_as(platform.database, platform.links, in_it, slug=slug)
    platform.ring()
    return deletion


async def restore_tenant(platform: Platform, organization_id: UUID) -> TenantOut:
    """Raises `Conflict` where it is not deleted, or the grace is over."""
    async with platform.database.system() as system:
        organization = await _locked(system, organization_id)
        if not organization.is_deleted:
            raise Conflict("It is not deleted", code="not-deleted")
        if not await bring_back(system, organization):
            raise Conflict("The grace is over", code="grace-over")
        told = await _told(system, organization_id)
    platform.ring()
    return told


async def end_grace(platform: Platform, organization_id: UUID, slug: str) -> TenantOut:
    """Have a deleted one purged now. Raises `Conflict` where it is not deleted, or for a wrong `slug`."""
    async with platform.database.system() as system:
        organization = await _locked(system, organization_id)
        if not organization.is_deleted or organization.purged_at is not None:
            raise Conflict("Delete it first", code="not-deleted")
        if organization.slug != slug:
            raise Conflict("That is not this organization's short name", code="wrong-slug")
        now = clock.now()
        organization.deletes_at = min(now, organization.deletes_at or now)
        await system.flush()
        return await _told(system, organization_id)


async def check_present(platform: Platform, organization_id: UUID) -> None:
    """Raises `NotFound` where there is no such organization, or it is deleted."""
    async with platform.database.system() as system:
        await _present(system, organization_id)


async def _present(system: AsyncSession, organization_id: UUID) -> Organization:
    """Locked. Raises `NotFound` where it is deleted."""
    organization = await _locked(system, organization_id)
    if organization.is_deleted:
        raise NotFound("There is no such organization, or it is deleted")
    return organization


async def _locked(system: AsyncSession, organization_id: UUID) -> Organization:
    organization = await system.get(Organization, organization_id, with_for_update={"key_share": True})
    if organization is None:
        raise NotFound("There is no such organization")
    return organization


async def _told(system: AsyncSession, organization_id: UUID) -> TenantOut:
    row = (await system.execute(select(*COLUMNS).where(Organization.id == organization_id))).one_or_none()
    if row is None:
        raise NotFound("There is no such organization")
    return msgspec.convert(row, TenantOut, from_attributes=True)
