"""Signing in and out, and telling who a token belongs to.

All of it happens before a tenant is known, or across tenants, so it runs as the system role; this is one of its few
named places.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, json
from msgspec.structs import replace
from sqlalchemy import Text, Uuid, and_, bindparam, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from core import clock
from core.db.database import Database
from core.db.statements import Statement
from core.db.tenancy import acting, who_acts
from core.errors import NotFound, Unauthenticated
from core.identity.account import Account
from core.identity.api_keys import PREFIX as API_KEY_PREFIX
from core.identity.api_keys import ApiKeyring
from core.identity.impersonation import impersonated
from core.identity.mfa import Code, Outcome, SecondFactors
from core.identity.models import Membership, Organization, RefreshToken, Session, User
from core.identity.operator_models import Operator
from core.identity.operators import is_proven, platform_permissions
from core.identity.origins import Origin
from core.identity.passwords import hash_password, needs_rehash, verify_password
from core.identity.permissions import grants_of_member, teams_of_member, weigh
from core.identity.schemas import LoginIn, Me, OrganizationOut, TokenPair
from core.identity.sessions import Sessions, is_living, touch
from core.identity.signing_keys import SigningKeys
from core.identity.standing import check_standing
from core.identity.throttle import Throttle
from core.identity.tokens import AccessClaims, TokenSigner, hash_refresh
from core.principal import Principal, PrincipalKind
from core.secrets.vault import Vault
from core.secrets.wrapping import WrappingKeys
from core.settings import Environment, Settings

GRACE = timedelta(seconds=10)
"""How long a used refresh token still answers with its successor."""


class _Entry(Struct, frozen=True):
    """Who enters which organization, and the hash that their password was checked against."""

    user_id: UUID
    organization_id: UUID
    password_hash: str | None
    is_active: bool
    """Whether the organization is; False where it is suspended."""


class _Account(NamedTuple):
    id: UUID
    organization_id: UUID | None
    password_hash: str | None


_ACCOUNT = Statement(
    select(User.id, User.organization_id, User.password_hash)
    .select_from(select(literal(1)).subquery("always"))
    .outerjoin(User, and_(User.email == bindparam("email"), User.is_active, User.is_deleted.is_(False)))
)
"""One row in any case, of nulls where nobody has the address: that there is one must not show in the time it takes."""

_PERSON = Statement(select(User.id, User.organization_id, User.password_hash).where(User.id == bindparam("user_id")))
_OPEN = (Membership.is_active, Organization.is_deleted.is_(False))
_ENTRY = Statement(
    select(Organization.id, Organization.is_active)
    .join(Membership, Organization.id == Membership.organization_id)
    .where(
        Membership.user_id == bindparam("user_id"),
        Organization.slug == func.coalesce(bindparam("slug", type_=Text), Organization.slug),
        *_OPEN,
    )
    .order_by(
        Organization.is_active.desc(),
        (Organization.id == bindparam("home", type_=Uuid())).desc(),
        Membership.created_at,
    )
    .limit(1)
)
"""The organization that somebody asked for; where they didn't, one that is open, before all others their own."""


_CHECKED, _NEW_HASH = (bindparam(name, type_=Text) for name in ("checked", "password_hash"))
_ENTER = Statement(
    update(User)
    .where(
        User.id == bindparam("user_id", type_=Uuid()),
        User.is_active,
        User.is_deleted.is_(False),
        User.password_hash.is_not_distinct_from(_CHECKED),
    )
    .values(
        last_login=bindparam("now"),
        password_hash=func.coalesce(_NEW_HASH, User.password_hash),
        updated_at=User.updated_at,
    )
    .returning(User.id)
)
"""Nothing is returned where the password was changed, or the person disabled, since it was checked."""


@cache
def _holder(*, needs_second_factor: bool) -> Statement:
    """Who the holder of an access token is and what they may do as of now; no row once it counts no more."""
    organization_id, user_id = bindparam("organization_id", type_=Uuid()), bindparam("user_id", type_=Uuid())
    return Statement(
        select(
            Membership.organization_id,
            Membership.user_id,
            Session.id.label("session_id"),
            Membership.role,
            cast(grants_of_member(), Text).label("grants"),
            teams_of_member().label("teams"),
            Session.last_used_at,
            Session.expires_at,
            Organization.is_active,
            Operator.impersonates_writing,
        )
        .join(User, User.id == Membership.user_id)
        .join(Organization, Organization.id == Membership.organization_id)
        .join(Session, Session.user_id == User.id)
        .outerjoin(Operator, and_(Operator.user_id == User.id, is_proven(needs_second_factor=needs_second_factor)))
        .where(
            Session.id == bindparam("session_id"),
            Session.organization_id == organization_id,
            *is_living(bindparam("now")),
            Membership.organization_id == organization_id,
            Membership.user_id == user_id,
            User.is_active,
            User.is_deleted.is_(False),
            *_OPEN,
        )
    )


class Identity:
    """What the routes of identity stand on. Made once a process, by `make_identity`."""

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        signer: TokenSigner,
        throttle: Throttle,
        refresh_seconds: float,
        permissions: Mapping[str, frozenset[str]],
        operators_need_second_factor: bool = True,
    ) -> None:
        """`permissions` is what each system role may do."""
        self.vault = vault
        self.signing_keys = signer.keys
        self.throttle = throttle
        self.sessions = Sessions(database)
        self.second_factors = SecondFactors(database, vault)
        self.api_keys = ApiKeyring(database, permissions)
        self.account = Account(database, throttle, self.second_factors)
        self._database = database
        self._signer = signer
        self._refresh = timedelta(seconds=refresh_seconds)
        self._permissions = permissions
        self.operators_need_second_factor = operators_need_second_factor

    async def login(self, data: LoginIn, origin: Origin) -> TokenPair:
        """Raises `Unauthenticated`, the same for a wrong password, an unknown address and a missing membership; and
        `TooManyRequests` where it has to wait, the same for all of them.

        After the right password it asks for the second factor of whoever has one; and to them alone it says, by
        `Forbidden`, that their organization is suspended.
        """
        await self.throttle.check(account=data.email, origin=origin)
        [found] = await self._database.as_system(_ACCOUNT, email=data.email.lower())
        matches = await verify_password(data.password, found["password_hash"])
        known = found["id"] is not None and matches
        entry = await self._entry(_Account(*found), data.organization) if known else None
        if entry is None:
            await self.throttle.failed(account=data.email, origin=origin)
            raise _refused()
        await self.throttle.check(account=data.email, origin=origin)  # of guesses at once, the right one waits as well
        code = Code(totp=data.totp_code, recovery=data.recovery_code)
        proved_at = await self.ask_second_factor(entry.user_id, code, account=data.email, origin=origin)
        check_standing(is_active=entry.is_active)
        new_hash = await _rehashed(data.password, entry.password_hash)
        pair = await self._open_session(entry, origin, new_hash, second_factor_at=proved_at)
        await self.throttle.succeeded(account=data.email)
        return pair

    async def _entry(self, user: "_Account", slug: str | None) -> _Entry | None:
        found = await self._database.as_system(_ENTRY, user_id=user.id, home=user.organization_id, slug=slug)
        return _Entry(user.id, found[0]["id"], user.password_hash, found[0]["is_active"]) if found else None

    async def ask_second_factor(self, user_id: UUID, code: Code, *, account: str, origin: Origin) -> datetime | None:
        """When a second factor was shown; None for somebody who has none.

        Raises `Unauthenticated` where the person has one and the code doesn't count; `mfa-required` for none.
        """
        if not (await self.second_factors.state(user_id)).confirmed:
            return None
        if code == Code():
            raise Unauthenticated("Send the code of your authenticator app, or a recovery code", code="mfa-required")
        outcome = await self.second_factors.use(user_id, code)
        if outcome is Outcome.WRONG:
            await self.throttle.failed(account=account, origin=origin)
        if outcome is not Outcome.ACCEPTED:
            raise Unauthenticated("The code is not valid, or was used before", code="invalid-code")
        await self.throttle.check(account=account, origin=origin)
        return clock.now()

    async def enter(
        self, user_id: UUID, slug: str | None, origin: Origin, *, second_factor_at: datetime | None
    ) -> TokenPair:
        """A session for somebody who has proved who they are in another way than by a password.

        Raises `Unauthenticated` where they are disabled, or can enter no such organization, and `Forbidden` where that
        is suspended.
        """
        found = await self._database.as_system(_PERSON, user_id=user_id)
        entry = await self._entry(_Account(*found[0]), slug) if found else None
        if entry is None:
            raise _refused()
        check_standing(is_active=entry.is_active)
        return await self._open_session(entry, origin, None, second_factor_at=second_factor_at)

    async def _open_session(
        self, entry: _Entry, origin: Origin, new_hash: str | None, *, second_factor_at: datetime | None
    ) -> TokenPair:
        """Raises `Unauthenticated` where the password was changed, or the person disabled, since it was checked."""
        now = clock.now()
        ends = now + self._refresh
        refresh_token = self._signer.new_refresh()
        person = replace(who_acts(), user_id=entry.user_id)  # refused, they have done nothing
        with acting(person):
            async with self._database.system() as system:
                entered = await system.run(
                    _ENTER, user_id=entry.user_id, checked=entry.password_hash, password_hash=new_hash, now=now
                )
                if not entered:
                    raise _refused()
                session = await system.insert(
                    Session,
                    user_id=entry.user_id,
                    organization_id=entry.organization_id,
                    created_at=now,
                    expires_at=ends,
                    last_used_at=now,
                    address=origin.address,
                    user_agent=origin.user_agent,
                    second_factor_at=second_factor_at,
                )
                token_hash = hash_refresh(refresh_token)
                await system.insert(
                    RefreshToken, token_hash=token_hash, session_id=session.id, created_at=now, expires_at=ends
                )
        return await self._pair(session, refresh_token)

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Swap a refresh token for its successor. One that was used before ends its whole family, unless it was used
        within the last seconds: then it answers with the same successor again."""
        now = clock.now()
        async with self._database.system() as system:
            found = (
                await system.execute(
                    select(RefreshToken, Session)
                    .join(Session, Session.id == RefreshToken.session_id)
                    .where(RefreshToken.token_hash == hash_refresh(refresh_token))
                    .with_for_update()
                )
            ).one_or_none()
            if found is None:
                raise _refused()
            token, session = found
            reused = token.used_at is not None and now - token.used_at > GRACE
            if reused and session.revoked_at is None:
                session.revoked_at, session.revoked_reason = now, "refresh-token-reused"
            live = session.revoked_at is None and now < session.expires_at and now < token.expires_at
            successor = self._signer.successor_of(refresh_token)
            if live:
                token.used_at = token.used_at or now
                session.last_used_at = now
                await system.execute(
                    insert(RefreshToken)
                    .values(
                        token_hash=hash_refresh(successor),
                        session_id=session.id,
                        created_at=now,
                        expires_at=session.expires_at,
                    )
                    .on_conflict_do_nothing()
                )
        if not live:  # outside the transaction, so that ending the family is committed
            raise _refused()
        return await self._pair(session, successor)

    async def logout(self, session_id: UUID) -> None:
        async with self._database.system() as system:
            await system.execute(
                update(Session)
                .where(Session.id == session_id, Session.revoked_at.is_(None))
                .values(revoked_at=clock.now(), revoked_reason="signed-out")
            )

    async def authenticate(self, bearer: str, *, even_suspended: bool = False) -> Principal:
        """Who holds this access token or API key, as of now: signing out, disabling and role changes count at once.

        Raises `Unauthenticated`; and `Forbidden` for a suspended organization, unless `even_suspended` lets a person in
        for what they may do there all the same.
        """
        if bearer.startswith(API_KEY_PREFIX):
            return await self.api_keys.authenticate(bearer)
        claims = await self._signer.read_access(bearer)
        if claims.impersonation_id is None:
            return await self._holder_of(claims, even_suspended=even_suspended)
        async with self._database.system() as system:
            needs = self.operators_need_second_factor
            return await impersonated(system, claims, self._permissions, needs_second_factor=needs)

    async def _holder_of(self, claims: AccessClaims, *, even_suspended: bool) -> Principal:
        found = await self._database.as_system(
            _holder(needs_second_factor=self.operators_need_second_factor),
            session_id=claims.session_id,
            organization_id=claims.organization_id,
            user_id=claims.user_id,
            now=clock.now(),
        )
        if not found:
            raise Unauthenticated
        [holder] = found
        check_standing(is_active=holder["is_active"] or even_suspended)
        await touch(self._database, claims.session_id, holder["last_used_at"])
        held = weigh(holder["role"], json.decode(holder["grants"]), self._permissions)
        return Principal(
            kind=PrincipalKind.USER,
            organization_id=holder["organization_id"],
            user_id=holder["user_id"],
            session_id=holder["session_id"],
            role=held.role,
            permissions=held.permissions,
            team_permissions=held.team_permissions,
            teams=frozenset(holder["teams"]),
            platform=platform_permissions(holder["impersonates_writing"]),
            valid_until=min(holder["expires_at"], claims.ends_at or holder["expires_at"]),
        )

    async def me(self, principal: Principal) -> Me:
        async with self._database.system() as system:
            user = await system.get_one(User, principal.user_id)
            organization = await system.get_one(Organization, principal.organization_id)
        return Me(
            id=user.id,
            email=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            is_verified=user.is_verified,
            created_at=user.created_at,
            organization=OrganizationOut(
                id=organization.id,
                name=organization.name,
                slug=organization.slug,
                subscription_plan=organization.subscription_plan,
            ),
            role=principal.role,
            permissions=sorted(principal.permissions),
        )

    async def switch(self, principal: Principal, slug: str, origin: Origin) -> TokenPair:
        """A session of its own in another of the person's organizations; the present one goes on.

        Raises `NotFound` where they don't belong there, and `Forbidden` where it is suspended.
        """
        async with self._database.system() as system:
            user = await system.get_one(User, principal.user_id)
            present = await system.get_one(Session, principal.session_id)
        entry = await self._entry(_Account(user.id, user.organization_id, user.password_hash), slug)
        if entry is None:
            raise NotFound("You belong to no such organization")
        check_standing(is_active=entry.is_active)
        return await self._open_session(entry, origin, None, second_factor_at=present.second_factor_at)

    async def impersonation_token(self, claims: AccessClaims, *, until: datetime) -> str:
        """For whoever has begun an impersonation; the token ends with it."""
        return await self._signer.issue_access(claims, until=until)

    async def _pair(self, session: Session, refresh_token: str) -> TokenPair:
        claims = AccessClaims(user_id=session.user_id, session_id=session.id, organization_id=session.organization_id)
        return TokenPair(
            access_token=await self._signer.issue_access(claims),
            expires_in=int(self._signer.access_seconds),
            refresh_token=refresh_token,
        )


def _refused() -> Unauthenticated:
    return Unauthenticated("The credentials are not valid", code="invalid-credentials")


async def _rehashed(password: str, password_hash: str | None) -> str | None:
    """The password's hash by today's parameters, where the stored one is of older ones."""
    if password_hash is None or not needs_rehash(password_hash):
        return None
    return await hash_password(password)


def make_identity(database: Database, settings: Settings, permissions: Mapping[str, frozenset[str]]) -> Identity:
    """`permissions` is what each system role may do."""
    vault = Vault(database, WrappingKeys(settings.wrapping_keys))
    keys = SigningKeys(database, vault, access_seconds=settings.access_token_seconds)
    return Identity(
        database=database,
        vault=vault,
        signer=TokenSigner(keys, settings.secret_key, access_seconds=settings.access_token_seconds),
        throttle=Throttle(database, settings.secret_key),
        refresh_seconds=settings.refresh_token_seconds,
        permissions=permissions,
        operators_need_second_factor=settings.environment is not Environment.LOCAL,
    )
