"""The directory of organizations: made and listed across tenants, so by the system role."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ARRAY, Text, bindparam, column, func, select

from core import clock
from core.db.database import Database
from core.db.sessions import SystemSession
from core.db.statements import Statement
from core.identity.models import Membership, Organization, User
from core.permissions import Role

_NAME = func.unnest(bindparam("names", type_=ARRAY(Text))).table_valued(column("name", Text), name="names")
_CLAIM = Statement(select(func.pg_advisory_xact_lock(func.hashtextextended(_NAME.c.name, 0))).select_from(_NAME))
"""One after the other in the order of the array, so that two who claim the same can't wait for each other."""
_SLUG, _EMAIL = bindparam("slug", type_=Text), bindparam("email", type_=Text)
_TAKEN = Statement(
    select(Organization.id).where(Organization.slug == _SLUG).union_all(select(User.id).where(User.email == _EMAIL))
)


class Founded(Struct, frozen=True):
    """What `create_organization` made."""

    organization_id: UUID
    owner_id: UUID


async def claim(system: SystemSession, *names: str) -> None:
    """Until the transaction ends, whoever else claims one of these names waits: so no two find it free at once."""
    await system.run(_CLAIM, names=sorted(names))


async def add_organization(system: SystemSession, *, name: str, slug: str) -> Organization:
    return await system.insert(Organization, name=name, slug=slug)


async def add_person(
    system: SystemSession,
    *,
    home: UUID,
    role: Role,
    email: str,
    names: tuple[str, str],
    password_hash: str,
    verified: bool,
) -> User:
    """A new person who belongs to one organization. `email` is in lower case."""
    user = await system.insert(
        User,
        organization_id=home,
        email=email,
        password_hash=password_hash,
        first_name=names[0],
        last_name=names[1],
        is_verified=verified,
        verified_at=clock.now() if verified else None,
    )
    await system.insert(Membership, organization_id=home, user_id=user.id, role=role.value)
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
        if await system.run(_TAKEN, slug=slug, email=email):
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
