"""From a stranger to a member with a confirmed address, and back in where the password is lost.

All of it happens before there is a tenant, so it runs as the system role. No answer, and no time that it takes, tells
whether an address has an account: what there is to say goes by mail to the address itself.
"""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Uuid, insert, literal, select, update

from core import clock
from core.db.database import Database
from core.identity.directory import add_organization, add_person, claim
from core.identity.letters import link_job, nothing_job, notice_job
from core.identity.links import LIFETIMES, Links, Purpose
from core.identity.mfa import SecondFactors
from core.identity.models import Organization, User
from core.identity.one_time import PATIENCE, holder_of, issue_token, last_issued, use_token
from core.identity.organization_models import OneTimeToken
from core.identity.passwords import check_new_password, hash_password
from core.identity.people import confirm_address
from core.identity.schemas import RegisterIn
from core.identity.sessions import end_sessions
from core.ids import new_id
from core.permissions import Role


class Onboarding:
    def __init__(
        self, *, database: Database, links: Links, second_factors: SecondFactors, ring: Callable[[], None]
    ) -> None:
        """`ring` tells the relay that there are letters to send."""
        self.database = database
        self.links = links
        self._second_factors = second_factors
        self._ring = ring

    async def register(self, data: RegisterIn) -> None:
        """Make a person and their organization, and mail them a link that confirms the address.

        Where the address has an account, or the short name is taken, the address is told so, and the caller nothing.
        """
        check_new_password(data.password)
        password_hash = await hash_password(data.password)
        email = data.email.lower()
        async with self.database.system() as system:
            await claim(system, f"slug:{data.organization_slug}", f"email:{email}")
            known = await system.scalar(select(User.id).where(User.email == email))
            taken = await system.scalar(select(Organization.id).where(Organization.slug == data.organization_slug))
            refused = known is not None or taken is not None
            attempt = await system.begin_nested()  # what is refused costs the same time, and leaves nothing
            nobody = new_id()
            organization = await add_organization(
                system, name=data.organization_name, slug=str(nobody) if refused else data.organization_slug
            )
            user = await add_person(
                system,
                home=organization.id,
                role=Role.OWNER,
                email=f"{nobody}@nobody.invalid" if refused else email,
                names=(data.first_name, data.last_name),
                password_hash=password_hash,
                verified=False,
            )
            token_id = await issue_token(system, self.links, Purpose.VERIFY_EMAIL, user.id)
            if refused:
                await attempt.rollback()
                system.add(notice_job(to=email, notice="slug-taken" if known is None else "account-exists"))
            else:
                await attempt.commit()
                system.add(link_job(to=email, purpose=Purpose.VERIFY_EMAIL, token_id=token_id))
        self._ring()

    async def resend_verification(self, user_id: UUID) -> None:
        """Does nothing where the address is confirmed, or a link was sent a moment ago."""
        async with self.database.system() as system:
            user = await system.get_one(User, user_id, with_for_update={"key_share": True})
            last = await last_issued(system, Purpose.VERIFY_EMAIL, user_id)
            if not user.is_verified and (last is None or last <= clock.now() - PATIENCE):
                token_id = await issue_token(system, self.links, Purpose.VERIFY_EMAIL, user_id)
                system.add(link_job(to=user.email, purpose=Purpose.VERIFY_EMAIL, token_id=token_id))
        self._ring()

    async def verify_email(self, token: str) -> None:
        """Raises `NotFound` for a token that doesn't count."""
        async with self.database.system() as system:
            used = await use_token(system, Purpose.VERIFY_EMAIL, token)
            await confirm_address(system, used.user_id)

    async def request_reset(self, email: str) -> None:
        """Mail a link to whoever has an account under the address."""
        email, now, token_id = email.lower(), clock.now(), new_id()
        purpose = Purpose.RESET_PASSWORD
        lately = select(OneTimeToken.id).where(
            OneTimeToken.user_id == User.id,
            OneTimeToken.purpose == purpose.value,
            OneTimeToken.created_at > now - PATIENCE,
        )
        values = {
            "id": literal(token_id, Uuid()),
            "token_hash": literal(self.links.hash(purpose, token_id)),
            "purpose": literal(purpose.value),
            "user_id": User.id,
            "created_at": literal(now),
            "expires_at": literal(now + LIFETIMES[purpose]),
        }
        may_reset = (User.email == email, User.is_active, User.is_deleted.is_(False), ~lately.exists())
        async with self.database.system() as system:
            await claim(system, f"email:{email}")
            issued = await system.scalar(
                insert(OneTimeToken)
                .from_select(list(values), select(*values.values()).where(*may_reset))
                .returning(OneTimeToken.id)
            )
            known = issued is not None
            system.add(link_job(to=email, purpose=purpose, token_id=token_id) if known else nothing_job())
        self._ring()

    async def reset_password(self, token: str, password: str) -> None:
        """Ends all sessions and leaves the second factor on. Raises `NotFound` for a token that doesn't count."""
        async with self.database.system() as system:
            user_id = await holder_of(system, Purpose.RESET_PASSWORD, token)
        has_second_factor = (await self._second_factors.state(user_id)).confirmed
        check_new_password(password, has_second_factor=has_second_factor)
        password_hash = await hash_password(password)
        async with self.database.system() as system:
            used = await use_token(system, Purpose.RESET_PASSWORD, token)
            await system.execute(
                update(User)
                .where(User.id == used.user_id)
                .values(password_hash=password_hash, version=User.version + 1)
            )
            await confirm_address(system, used.user_id)
            await end_sessions(system, used.user_id, reason="password-reset")
