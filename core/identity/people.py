"""People: their profile, the organizations they belong to, and leaving.

A person is no tenant's row, so this runs as the system role, about the signed-in person alone.
"""

from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.database import Database
from core.errors import Conflict, Forbidden
from core.http.conditions import check_if_match
from core.identity.models import Membership, Organization, User
from core.identity.organization_schemas import MyOrganization, ProfileOut, ProfilePatch
from core.identity.origins import Origin
from core.identity.passwords import verify_password
from core.identity.sessions import end_sessions
from core.identity.throttle import Throttle
from core.permissions import Role


async def confirm_address(system: AsyncSession, user_id: UUID) -> None:
    """A token that was mailed came back: the address is theirs."""
    await system.execute(
        update(User)
        .where(User.id == user_id, User.is_verified.is_(False))
        .values(is_verified=True, verified_at=clock.now(), version=User.version + 1)
    )


def profile_out(user: User) -> ProfileOut:
    return msgspec.convert(user, ProfileOut, from_attributes=True)


async def get_profile(database: Database, user_id: UUID) -> ProfileOut:
    async with database.system() as system:
        return profile_out(await system.get_one(User, user_id))


async def update_profile(database: Database, user_id: UUID, data: ProfilePatch, *, if_match: str | None) -> ProfileOut:
    """Raises `PreconditionFailed` where the profile changed since the client read it."""
    async with database.system() as system:
        user = await system.get_one(User, user_id, with_for_update={"key_share": True})
        check_if_match(if_match, user.version)
        for name, value in msgspec.structs.asdict(data).items():
            if value is not UNSET:
                setattr(user, name, value)
        if system.is_modified(user):
            user.updated_by = user_id
        await system.flush()
        return profile_out(user)


async def list_my_organizations(database: Database, user_id: UUID) -> list[MyOrganization]:
    """Those that can be entered, by name."""
    async with database.system() as system:
        found = await system.execute(
            select(Organization.id, Organization.name, Organization.slug, Membership.role)
            .join(Membership, Membership.organization_id == Organization.id)
            .where(
                Membership.user_id == user_id,
                Membership.is_active,
                Organization.is_active,
                Organization.is_deleted.is_(False),
            )
            .order_by(Organization.name, Organization.id)
        )
        return [MyOrganization(id=row.id, name=row.name, slug=row.slug, role=row.role) for row in found]


async def deactivate_account(
    database: Database, throttle: Throttle, origin: Origin, user_id: UUID, *, password: str
) -> None:
    """Raises `Forbidden` for a wrong password, and `Conflict` where an organization would be left without an owner."""
    async with database.system() as system:
        user = await system.get_one(User, user_id)
    await throttle.check(account=user.email, origin=origin)
    if not await verify_password(password, user.password_hash):
        await throttle.failed(account=user.email, origin=origin)
        raise Forbidden("The password is not right", code="wrong-password")
    await throttle.check(account=user.email, origin=origin)
    async with database.system() as system:
        owned = await system.scalars(
            select(Membership.organization_id)
            .where(Membership.user_id == user_id, Membership.role == Role.OWNER.value, Membership.is_active)
            .order_by(Membership.organization_id)
        )
        for organization_id in owned.all():
            if await lock_organization(system, organization_id):
                await keep_an_owner(system, organization_id, without=user_id)
        await system.execute(update(User).where(User.id == user_id).values(is_active=False, version=User.version + 1))
        await end_sessions(system, user_id, reason="account-deactivated")


async def lock_organization(session: AsyncSession, organization_id: UUID) -> bool:
    """Until the transaction ends, nobody else changes who belongs to the organization and as what.

    False where it is deleted: nobody is needed to own it.
    """
    deleted = await session.scalar(
        select(Organization.is_deleted).where(Organization.id == organization_id).with_for_update(key_share=True)
    )
    return deleted is False


async def keep_an_owner(session: AsyncSession, organization_id: UUID, *, without: UUID) -> None:
    """Raises `Conflict` where nobody but this person is an active owner. Only holds under `lock_organization`."""
    others = await session.scalar(
        select(func.count())
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.organization_id == organization_id,
            Membership.role == Role.OWNER.value,
            Membership.is_active,
            Membership.user_id != without,
            User.is_active,
            User.is_deleted.is_(False),
        )
    )
    if not others:
        raise Conflict("An organization keeps at least one active owner", code="last-owner")
