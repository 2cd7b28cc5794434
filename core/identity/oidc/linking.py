"""Which person an issuer means.

An identity, once linked, is the pair of issuer and subject; the address counts for the first link alone, and then only
where both sides have proved it: the issuer says that it verified it, and the person confirmed it here. An account that
somebody opened under another's address is so never joined with what its true owner signs in with, nor the other way
round. A second subject of the same issuer, as when an address was given to somebody else, is not linked either.

A person who is signed in, and proves their password once more, links whatever identity they then sign in with.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.database import Database
from core.db.sessions import SystemSession, act_as
from core.errors import Conflict, Forbidden, NotFound
from core.identity.directory import claim
from core.identity.letters import notice_job
from core.identity.models import Session, User
from core.identity.oidc.attempts import refused
from core.identity.oidc.id_tokens import IdClaims
from core.identity.oidc.models import OidcIdentity
from core.identity.sessions import is_living
from core.ids import new_id


async def person_of(database: Database, claims: IdClaims) -> UUID:
    """Raises `Forbidden`, the same for all who are not linked and can't be: it doesn't tell who has an account."""
    async with database.system() as system:
        known = await system.scalar(
            update(OidcIdentity)
            .where(OidcIdentity.issuer == claims.issuer, OidcIdentity.subject == claims.subject)
            .values(last_used_at=clock.now())
            .returning(OidcIdentity.user_id)
            .execution_options(synchronize_session=False)
        )
        return known or await _link_by_address(system, claims)


async def link_to_session(database: Database, claims: IdClaims, session_id: UUID) -> UUID:
    """The identity for the person who is signed in, whatever its address. Returns the person.

    Raises `Unauthenticated` where the session has ended since, and `Conflict` where the identity is another person's,
    or this one has another of the same issuer.
    """
    async with database.system() as system:
        person = await system.scalar(
            select(User)
            .join(Session, Session.user_id == User.id)
            .where(Session.id == session_id, *is_living(clock.now()), User.is_active, User.is_deleted.is_(False))
        )
        if person is None:
            raise refused()
        if not await _link(system, claims, person):
            raise Conflict(
                "This sign-in is another person's, or you have linked another one of this service",
                code="oidc-linked-otherwise",
            )
        return person.id


async def _link_by_address(system: SystemSession, claims: IdClaims) -> UUID:
    email = claims.verified_email
    if email is None:
        raise _not_linked()
    await claim(system, f"email:{email}")
    person = await system.scalar(
        select(User).where(User.email == email, User.is_verified, User.is_active, User.is_deleted.is_(False))
    )
    if person is None or not await _link(system, claims, person):
        raise _not_linked()
    return person.id


async def _link(system: AsyncSession, claims: IdClaims, person: User) -> bool:
    """Whether the two are linked now; they are told where they were not before."""
    await act_as(system, person.id)
    now = clock.now()
    values = {"user_id": person.id, "issuer": claims.issuer, "subject": claims.subject}
    linked = await system.scalar(
        insert(OidcIdentity)
        .values(id=new_id(), **values, created_at=now, last_used_at=now)
        .on_conflict_do_nothing()
        .returning(OidcIdentity.id)
    )
    if linked is None:
        return await system.scalar(select(OidcIdentity.id).filter_by(**values)) is not None
    system.add(notice_job(to=person.email, notice="sign-in-linked"))
    return True


async def identities_of(database: Database, user_id: UUID) -> Sequence[OidcIdentity]:
    """By age. There is one for an issuer at most, so there are few."""
    async with database.system() as system:
        found = await system.scalars(
            select(OidcIdentity).where(OidcIdentity.user_id == user_id).order_by(OidcIdentity.created_at)
        )
        return found.all()


async def unlink(database: Database, identity_id: UUID, *, user_id: UUID) -> None:
    """Raises `NotFound` for one that is not this person's."""
    async with database.system() as system:
        await act_as(system, user_id)
        unlinked = await system.scalar(
            delete(OidcIdentity)
            .where(OidcIdentity.id == identity_id, OidcIdentity.user_id == user_id)
            .returning(OidcIdentity.id)
            .execution_options(synchronize_session=False)
        )
        if unlinked is None:
            raise NotFound


def _not_linked() -> Forbidden:
    return Forbidden(
        "No account here is linked with this sign-in. Sign in with your password and link it; or open an account under "
        "the address that the service has verified, confirm the address, and sign in again",
        code="oidc-not-linked",
    )
