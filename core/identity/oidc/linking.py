"""Which person an issuer means.

An identity, once linked, is the pair of issuer and subject; the address counts for the first link alone, and then only
where both sides have proved it: the issuer says that it verified it, and the person confirmed it here. An account that
somebody opened under another's address is so never joined with what its true owner signs in with, nor the other way
round. A second subject of the same issuer, as when an address was given to somebody else, is not linked either.
"""

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.database import Database, act_as
from core.errors import Forbidden
from core.identity.directory import claim
from core.identity.letters import notice_job
from core.identity.models import User
from core.identity.oidc.id_tokens import IdClaims
from core.identity.oidc.models import OidcIdentity
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
        return known or await _link(system, claims)


async def _link(system: AsyncSession, claims: IdClaims) -> UUID:
    email = claims.verified_email
    if email is None:
        raise _not_linked()
    await claim(system, f"email:{email}")
    user_id = await system.scalar(
        select(User.id).where(User.email == email, User.is_verified, User.is_active, User.is_deleted.is_(False))
    )
    if user_id is None:
        raise _not_linked()
    await act_as(system, user_id)
    now = clock.now()
    values = {"user_id": user_id, "issuer": claims.issuer, "subject": claims.subject}
    linked = await system.scalar(
        insert(OidcIdentity)
        .values(id=new_id(), **values, created_at=now, last_used_at=now)
        .on_conflict_do_nothing()
        .returning(OidcIdentity.id)
    )
    if linked is not None:
        system.add(notice_job(to=email, notice="sign-in-linked"))
    elif await system.scalar(select(OidcIdentity.id).filter_by(**values)) is None:
        raise _not_linked()
    return user_id


def _not_linked() -> Forbidden:
    return Forbidden(
        "No account here is linked with this sign-in. Open one under the address that the service has verified, "
        "confirm the address, and sign in again",
        code="oidc-not-linked",
    )
