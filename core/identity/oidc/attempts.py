"""Attempts to sign in with an issuer: begun, answered once, and over after ten minutes.

Nonce and PKCE verifier are derived from the state, so no table holds a secret of an attempt.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, delete, select, update

from core import clock
from core.db.database import Database
from core.errors import Unauthenticated
from core.identity.oidc.models import OidcAttempt
from core.identity.tokens import derive

LIFETIME = timedelta(minutes=10)
SWEEP = 10
"""Attempts that are over which each new one removes, so that the table stays as small as ten minutes' attempts."""


class Begun(Struct, frozen=True, kw_only=True):
    """Shown to the client that began it, and nowhere else."""

    state: str
    browser_secret: str


class Attempt(Struct, frozen=True, kw_only=True):
    """One that its own browser came back to."""

    state: str
    organization: str | None
    session_id: UUID | None
    started_at: datetime


def refused() -> Unauthenticated:
    """The same for whatever is wrong with it."""
    return Unauthenticated("The sign-in could not be completed; begin again", code="oidc-refused")


class Attempts:
    def __init__(self, database: Database, secret: str) -> None:
        self._database = database
        self._key = derive(secret, b"oidc-attempt")

    def nonce(self, state: str) -> str:
        return self._derived(b"nonce", state)

    def verifier(self, state: str) -> str:
        """PKCE's (RFC 7636): 43 characters."""
        return self._derived(b"pkce", state)

    def challenge(self, state: str) -> str:
        return _encode(hashlib.sha256(self.verifier(state).encode()).digest())

    async def begin(self, provider: str, *, organization: str | None = None, session_id: UUID | None = None) -> Begun:
        begun = Begun(state=_encode(secrets.token_bytes(32)), browser_secret=_encode(secrets.token_bytes(32)))
        now = clock.now()
        over = select(OidcAttempt.state_hash).where(OidcAttempt.expires_at < now).limit(SWEEP)
        async with self._database.system() as system:
            await system.execute(
                delete(OidcAttempt)
                .where(OidcAttempt.state_hash.in_(over.with_for_update(skip_locked=True).scalar_subquery()))
                .execution_options(synchronize_session=False)
            )
            system.add(
                OidcAttempt(
                    state_hash=_hash(begun.state),
                    browser_hash=_hash(begun.browser_secret),
                    provider=provider,
                    organization=organization,
                    session_id=session_id,
                    started_at=now,
                    expires_at=now + LIFETIME,
                )
            )
        return begun

    async def take(self, provider: str, begun: Begun) -> Attempt:
        """Use it up, whatever becomes of it: of any number at once, one succeeds. Raises `Unauthenticated`."""
        async with self._database.system() as system:
            taken = (
                await system.execute(
                    update(OidcAttempt)
                    .where(*_is(provider, begun), OidcAttempt.used_at.is_(None))
                    .values(used_at=clock.now())
                    .returning(OidcAttempt.organization, OidcAttempt.session_id, OidcAttempt.started_at)
                    .execution_options(synchronize_session=False)
                )
            ).one_or_none()
        if taken is None:
            raise refused()
        organization, session_id, started_at = taken
        return Attempt(state=begun.state, organization=organization, session_id=session_id, started_at=started_at)

    async def vouch(self, attempt: Attempt, user_id: UUID) -> None:
        """The issuer said who it is; their second factor is still to come."""
        async with self._database.system() as system:
            await system.execute(
                update(OidcAttempt)
                .where(OidcAttempt.state_hash == _hash(attempt.state))
                .values(user_id=user_id)
                .execution_options(synchronize_session=False)
            )

    async def vouched(self, provider: str, begun: Begun) -> UUID:
        """Whom the issuer vouched for. Raises `Unauthenticated`."""
        async with self._database.system() as system:
            user_id = await system.scalar(select(OidcAttempt.user_id).where(*_is(provider, begun)))
        if user_id is None:
            raise refused()
        return user_id

    async def end(self, provider: str, begun: Begun) -> str | None:
        """Of any number at once, one ends it; returns the organization to enter. Raises `Unauthenticated`."""
        async with self._database.system() as system:
            ended = (
                await system.execute(
                    delete(OidcAttempt)
                    .where(*_is(provider, begun), OidcAttempt.user_id.is_not(None))
                    .returning(OidcAttempt.organization)
                    .execution_options(synchronize_session=False)
                )
            ).one_or_none()
        if ended is None:
            raise refused()
        return ended[0]

    def _derived(self, purpose: bytes, state: str) -> str:
        return _encode(hmac.digest(self._key, purpose + b"|" + state.encode(), "sha256"))


def _is(provider: str, begun: Begun) -> tuple[ColumnElement[bool], ...]:
    return (
        OidcAttempt.state_hash == _hash(begun.state),
        OidcAttempt.browser_hash == _hash(begun.browser_secret),
        OidcAttempt.provider == provider,
        OidcAttempt.expires_at > clock.now(),
    )


def _hash(secret: str) -> bytes:
    """Both secrets have 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
