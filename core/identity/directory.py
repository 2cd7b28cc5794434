"""The directory of organizations: made and listed across tenants, so by the system role."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text

from core.db.database import Database
from core.identity.models import Membership, Organization, User
from core.ids import new_id
from core.permissions import Role


async def create_organization(
    database: Database,
    *,
    name: str,
    slug: str,
    owner_email: str,
    owner_names: tuple[str, str],
    password_hash: str,
) -> UUID | None:
    """Make an organization with its owner, in one transaction. None where the slug or the address is taken."""
    email = owner_email.lower()
    async with database.system() as system:
        # Two registrations of one name wait for each other here, so neither fails half-way on a unique constraint.
        for claimed in sorted([f"slug:{slug}", f"email:{email}"]):
            await system.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": claimed})
        by_slug = select(Organization.id).where(Organization.slug == slug)
        if await system.scalar(by_slug.union_all(select(User.id).where(User.email == email))) is not None:
            return None
        organization = Organization(id=new_id(), name=name, slug=slug)
        system.add(organization)
        await system.flush()
        user = User(
            id=new_id(),
            organization_id=organization.id,
            email=email,
            password_hash=password_hash,
            first_name=owner_names[0],
            last_name=owner_names[1],
        )
        system.add(user)
        await system.flush()
        system.add(Membership(organization_id=organization.id, user_id=user.id, role=Role.OWNER.value))
    return organization.id


async def list_organizations(database: Database) -> Sequence[Organization]:
    async with database.system() as system:
        organizations = await system.scalars(
            select(Organization).where(Organization.is_deleted.is_(False)).order_by(Organization.slug)
        )
        return organizations.all()


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
