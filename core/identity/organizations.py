"""Organizations: the current one's settings, making a further one, deleting one and bringing it back."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.database import Database
from core.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from core.http.conditions import check_if_match
from core.identity.directory import add_organization, claim
from core.identity.letters import link_job
from core.identity.links import LIFETIMES, Links, Purpose
from core.identity.models import Membership, Organization, User
from core.identity.one_time import issue_token, use_token
from core.identity.organization_schemas import (
    DeletionOut,
    MyOrganization,
    OrganizationDetails,
    OrganizationIn,
    OrganizationPatch,
    OrganizationSettings,
    OrganizationSettingsPatch,
    PlanOut,
    QuotaOut,
)
from core.identity.plans import members_in_use, plan_of
from core.permissions import Role
from core.principal import Principal
from core.tasks.context import Ctx
from core.tasks.holding import hold_jobs, release_jobs
from core.time_zones import TIME_ZONES

GRACE: timedelta = LIFETIMES[Purpose.RESTORE_ORGANIZATION]
"""How long a deleted organization can be brought back."""
MAX_OWNED = 20
"""Organizations that one person may own: making them is free."""


def organization_out(organization: Organization) -> OrganizationDetails:
    known = {name: organization.settings[name] for name in SETTINGS if name in organization.settings}
    return OrganizationDetails(
        id=organization.id,
        name=organization.name,
        slug=organization.slug,
        domain=organization.domain,
        subscription_plan=organization.subscription_plan,
        settings=OrganizationSettings(**known),
        is_active=organization.is_active,
        version=organization.version,
        created_at=organization.created_at,
        updated_at=organization.updated_at,
    )


SETTINGS = OrganizationSettings.__struct_fields__
"""What people may set; the column holds marks of our own as well."""


async def get_organization(ctx: Ctx) -> Organization:
    return await ctx.db.get_one(Organization, ctx.organization_id)


async def update_organization(ctx: Ctx, data: OrganizationPatch, *, if_match: str | None) -> Organization:
    """Raises `PreconditionFailed` where it changed since the client read it."""
    changed = _checked(data.settings)
    organization = await get_organization(ctx)
    check_if_match(if_match, organization.version)
    if data.name is not UNSET:
        organization.name = data.name
    if data.domain is not UNSET:
        organization.domain = data.domain
    if changed:
        organization.settings = {**organization.settings, **changed}
    await ctx.db.flush()
    return organization


def _checked(settings: OrganizationSettingsPatch | UnsetType) -> dict[str, Any]:
    """The settings that are sent. Raises `Invalid` for a time zone that there is not."""
    if settings is UNSET:
        return {}
    sent = {name: value for name, value in msgspec.structs.asdict(settings).items() if value is not UNSET}
    if sent.get("time_zone", "UTC") not in TIME_ZONES:
        message = "Expected an IANA time zone"
        raise Invalid(errors=[FieldError(field="settings.time_zone", code="choice", message=message)])
    return sent


async def get_plan(ctx: Ctx) -> PlanOut:
    organization = await get_organization(ctx)
    plan = plan_of(organization.subscription_plan)
    used = await members_in_use(ctx.db, ctx.organization_id)
    return PlanOut(
        name=organization.subscription_plan,
        members=QuotaOut(limit=plan.members, used=used),
        contacts=plan.contacts,
        imports_per_day=plan.imports_per_day,
    )


async def create_further_organization(database: Database, user_id: UUID, data: OrganizationIn) -> MyOrganization:
    """Make one that the person owns. Raises `Forbidden` where their address is not confirmed."""
    async with database.system() as system:
        await claim(system, f"slug:{data.slug}", f"owner:{user_id}")
        if not await system.scalar(select(User.is_verified).where(User.id == user_id)):
            raise Forbidden("Confirm your e-mail address first", code="email-not-verified")
        owned = await system.scalars(
            select(Membership.id).where(Membership.user_id == user_id, Membership.role == Role.OWNER.value)
        )
        if len(owned.all()) >= MAX_OWNED:
            raise Conflict(f"One person may own {MAX_OWNED} organizations", code="quota-exceeded")
        if await system.scalar(select(Organization.id).where(Organization.slug == data.slug)) is not None:
            raise Conflict("The short name is taken", code="slug-taken")
        organization = await add_organization(system, name=data.name, slug=data.slug)
        system.add(Membership(organization_id=organization.id, user_id=user_id, role=Role.OWNER.value))
    return MyOrganization(id=organization.id, name=data.name, slug=data.slug, role=Role.OWNER)


async def delete_organization(database: Database, links: Links, principal: Principal, *, slug: str) -> DeletionOut:
    """Close it to everybody at once, and mail each owner a link that brings it back within the grace.

    Raises `Conflict` where `slug` is another one's: nothing is deleted by mistake.
    """
    now = clock.now()
    async with database.system() as system:
        organization = await system.get_one(Organization, principal.organization_id, with_for_update=True)
        if organization.slug != slug:
            raise Conflict("That is not this organization's short name", code="wrong-slug")
        if organization.is_deleted:
            raise NotFound
        organization.is_deleted, organization.deleted_at, organization.deletes_at = True, now, now + GRACE
        await system.flush()
        await hold_jobs(system, organization.id)
        owners = await system.execute(
            select(User.id, User.email)
            .join(Membership, Membership.user_id == User.id)
            .where(
                Membership.organization_id == organization.id,
                Membership.role == Role.OWNER.value,
                Membership.is_active,
                User.is_active,
            )
        )
        person = await system.scalar(select(User.email).where(User.id == principal.user_id))
        purpose = Purpose.RESTORE_ORGANIZATION
        for user_id, email in owners.all():
            token_id = await issue_token(system, links, purpose, user_id, organization_id=organization.id)
            names = {"organization": organization.name, "person": person or "An operator"}
            system.add(link_job(to=email, purpose=purpose, token_id=token_id, **names))
    return DeletionOut(deletes_at=now + GRACE)


async def restore_organization(database: Database, token: str) -> None:
    """Bring it back as it was. Raises `NotFound` for a token that doesn't count, or after the grace."""
    async with database.system() as system:
        used = await use_token(system, Purpose.RESTORE_ORGANIZATION, token)
        organization = await system.get(Organization, used.organization_id, with_for_update=True)
        still_owner = await system.scalar(
            select(Membership.id).where(
                Membership.organization_id == used.organization_id,
                Membership.user_id == used.user_id,
                Membership.role == Role.OWNER.value,
                Membership.is_active,
            )
        )
        if organization is None or still_owner is None or not await bring_back(system, organization):
            raise NotFound("This link is not valid any more", code="token-not-valid")


async def bring_back(system: AsyncSession, organization: Organization) -> bool:
    """A deleted organization, which the caller has locked, as it was; its jobs go on. False after the grace."""
    if organization.deletes_at is None or organization.deletes_at <= clock.now():
        return False
    organization.is_deleted, organization.deleted_at, organization.deletes_at = False, None, None
    await system.flush()
    if organization.is_active:
        await release_jobs(system, organization.id)
    return True
