"""The directory of organizations: made and listed across tenants, so by the system role."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.database import Database
from core.identity.models import Membership, Organization, User
from core.ids import new_id
from core.permissions import Role

_CLAIM = text("SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(CAST(:names AS text[])) AS name")
"""One after the other in the order of the array, so that two who claim the same can't wait for each other."""


class Founded(Struct, frozen=True):
    """What `create_organization` made."""

    organization_id: UUID
    owner_id: UUID


async def claim(system: AsyncSession, *names: str) -> None:
    """Until the transaction ends, whoever else claims one of these names waits: so no two find it free at once."""
    await system.execute(_CLAIM, {"names": sorted(names)})


async def add_organization(system: AsyncSession, *, name: str, slug: str) -> Organization:
    organization = Organization(id=new_id(), name=name, slug=slug)
    system.add(organization)
    await system.flush()
    return organization


async def add_person(
    system: AsyncSession,
    *,
    home: UUID,
    role: Role,
    email: str,
    names: tuple[str, str],
    password_hash: str,
    verified: bool,
) -> User:
    """A new person who belongs to one organization. `email` is in lower case."""
    user = User(
        id=new_id(),
        organization_id=home,
        email=email,
        password_hash=password_hash,
        first_name=names[0],
        last_name=names[1],
        is_verified=verified,
        verified_at=clock.now() if verified else None,
    )
    system.add(user)
    await system.flush()
    system.add(Membership(organization_id=home, user_id=user.id, role=role.value))
    await system.flush()
    return user


async def create_organization(
    database: Database,
    *,
    name: str,
    slug: str,
    owner_email: str,
    owner_names: tuple[str, str],
    password_hash: str,
) -> Founded | None:
    """For whoever runs this server: an organization with its owner, whose address they vouch for, in one transaction.

    None where the slug or the address is taken.
    """
    email = owner_email.lower()
    async with database.system() as system:
        await claim(system, f"slug:{slug}", f"email:{email}")
        by_slug = select(Organization.id).where(Organization.slug == slug)
        if await system.scalar(by_slug.union_all(select(User.id).where(User.email == email))) is not None:
            return None
        organization = await add_organization(system, name=name, slug=slug)
        owner = await add_person(
            system,
            home=organization.id,
            role=Role.OWNER,
            email=email,
            names=owner_names,
            password_hash=password_hash,
            verified=True,
        )
    return Founded(organization.id, owner.id)


async def list_organizations(database: Database) -> Sequence[Organization]:
    async with database.system() as system:
        organizations = await system.scalars(
            select(Organization).where(Organization.is_deleted.is_(False)).order_by(Organization.slug)
        )
        return organizations.all()


async def find_organization(database: Database, slug: str) -> UUID | None:
    async with database.system() as system:
        return await system.scalar(select(Organization.id).where(Organization.slug == slug))


async def find_owner(database: Database, slug: str) -> tuple[UUID, UUID] | None:
    """The ids of an organization and of its first owner."""
    async with database.system() as system:
        found = (
            await system.execute(
                select(Organization.id, Membership.user_id)
                .join(Membership, Membership.organization_id == Organization.id)
                .where(Organization.slug == slug, Membership.role == Role.OWNER.value)
                .order_by(Membership.created_at)
                .limit(1)
            )
        ).first()
    return None if found is None else (found[0], found[1])
