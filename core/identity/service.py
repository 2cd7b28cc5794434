"""Registering, signing in and out, and telling who a token belongs to.

All of it happens before a tenant is known, or across tenants, so it runs as the system role; this is one of its few
named places.
"""

from datetime import timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from core import clock
from core.db.database import Database
from core.errors import Unauthenticated
from core.identity.directory import create_organization
from core.identity.models import Membership, Organization, RefreshToken, Session, User
from core.identity.passwords import hash_password, needs_rehash, verify_password
from core.identity.schemas import LoginIn, Me, OrganizationOut, RegisterIn, TokenPair
from core.identity.tokens import AccessClaims, TokenSigner, hash_refresh
from core.ids import new_id
from core.principal import Principal, PrincipalKind

GRACE = timedelta(seconds=10)
"""How long a used refresh token still answers with its successor."""


class _Entry(Struct, frozen=True):
    """Who enters which organization."""

    user_id: UUID
    organization_id: UUID


class Identity:
    def __init__(
        self,
        *,
        database: Database,
        signer: TokenSigner,
        refresh_seconds: float,
        permissions: dict[str, frozenset[str]],
    ) -> None:
        self._database = database
        self._signer = signer
        self._refresh = timedelta(seconds=refresh_seconds)
        self._permissions = permissions

    async def register(self, data: RegisterIn) -> None:
        """Make a person and their organization. Says nothing where the address or the slug is taken: the answer,
        and the time it takes, must not tell who has an account."""
        password_hash = await hash_password(data.password)
        await create_organization(
            self._database,
            name=data.organization_name,
            slug=data.organization_slug,
            owner_email=data.email,
            owner_names=(data.first_name, data.last_name),
            password_hash=password_hash,
        )

    async def login(self, data: LoginIn) -> TokenPair:
        """Raises `Unauthenticated`, the same for a wrong password, an unknown address and a missing membership."""
        async with self._database.system() as system:
            user = await system.scalar(
                select(User).where(User.email == data.email.lower(), User.is_active, User.is_deleted.is_(False))
            )
        matches = await verify_password(data.password, user.password_hash if user else None)
        if user is None or not matches:
            raise _refused()
        entry = await self._entry(user, data.organization)
        if user.password_hash is not None and needs_rehash(user.password_hash):
            user.password_hash = await hash_password(data.password)
        return await self._open_session(entry, user.password_hash)

    async def _entry(self, user: User, slug: str | None) -> _Entry:
        wanted = Organization.slug == slug if slug is not None else Organization.id == Organization.id
        async with self._database.system() as system:
            organization_id = await system.scalar(
                select(Membership.organization_id)
                .join(Organization, Organization.id == Membership.organization_id)
                .where(Membership.user_id == user.id, wanted, *_LIVE)
                .order_by((Organization.id == user.organization_id).desc(), Membership.created_at)
                .limit(1)
            )
        if organization_id is None:
            raise _refused()
        return _Entry(user.id, organization_id)

    async def _open_session(self, entry: _Entry, password_hash: str | None) -> TokenPair:
        now = clock.now()
        refresh_token = self._signer.new_refresh()
        session = Session(
            id=new_id(),
            user_id=entry.user_id,
            organization_id=entry.organization_id,
            created_at=now,
            expires_at=now + self._refresh,
        )
        async with self._database.system() as system:
            system.add(session)
            await system.flush()
            system.add(self._stored(refresh_token, session.id))
            await system.execute(
                update(User).where(User.id == entry.user_id).values(last_login=now, password_hash=password_hash)
            )
        return self._pair(session, refresh_token)

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
        return self._pair(session, successor)

    async def logout(self, session_id: UUID) -> None:
        async with self._database.system() as system:
            await system.execute(
                update(Session)
                .where(Session.id == session_id, Session.revoked_at.is_(None))
                .values(revoked_at=clock.now(), revoked_reason="signed-out")
            )

    async def authenticate(self, bearer: str) -> Principal:
        """Who holds this access token, as of now: signing out, disabling and role changes count at once."""
        claims = self._signer.read_access(bearer)
        async with self._database.system() as system:
            role = await system.scalar(
                select(Membership.role)
                .join(User, User.id == Membership.user_id)
                .join(Organization, Organization.id == Membership.organization_id)
                .join(Session, Session.user_id == User.id)
                .where(
                    Session.id == claims.session_id,
                    Session.organization_id == claims.organization_id,
                    Session.revoked_at.is_(None),
                    Membership.organization_id == claims.organization_id,
                    Membership.user_id == claims.user_id,
                    User.is_active,
                    User.is_deleted.is_(False),
                    *_LIVE,
                )
            )
        if role is None:
            raise Unauthenticated
        return Principal(
            kind=PrincipalKind.USER,
            organization_id=claims.organization_id,
            user_id=claims.user_id,
            session_id=claims.session_id,
            role=role,
            permissions=self._permissions.get(role, frozenset()),
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

    def _stored(self, refresh_token: str, session_id: UUID) -> RefreshToken:
        now = clock.now()
        return RefreshToken(
            token_hash=hash_refresh(refresh_token),
            session_id=session_id,
            created_at=now,
            expires_at=now + self._refresh,
        )

    def _pair(self, session: Session, refresh_token: str) -> TokenPair:
        claims = AccessClaims(user_id=session.user_id, session_id=session.id, organization_id=session.organization_id)
        return TokenPair(
            access_token=self._signer.issue_access(claims),
            expires_in=int(self._signer.access_seconds),
            refresh_token=refresh_token,
        )


_LIVE = (Membership.is_active, Organization.is_active, Organization.is_deleted.is_(False))


def _refused() -> Unauthenticated:
    return Unauthenticated("The credentials are not valid", code="invalid-credentials")
