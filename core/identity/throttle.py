"""The throttle of sign-ins: each failure beyond a few makes the next attempt wait longer, by account and by address.

It is kept in PostgreSQL, so that it holds where Redis is away, and for all processes alike. There is no lock-out: the
longest wait is a quarter of an hour, and one success clears the account. Known and unknown accounts are counted alike.

await throttle.check(account=email, origin=origin)     # before looking at the credential, and again before letting in
await throttle.failed(account=email, origin=origin)    # the credential was wrong
await throttle.succeeded(account=email)
"""

import hashlib
import hmac
from datetime import datetime, timedelta
from math import ceil

from msgspec import Struct
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.database import Database
from core.errors import TooManyRequests
from core.identity.credential_models import SignInAttempts
from core.identity.origins import Origin

LONGEST = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=24)
SWEEP = 10
"""Forgotten counts that each failure removes, so that the table stays as small as a day's failures."""


class Allowance(Struct, frozen=True, kw_only=True):
    """How many failures cost nothing; each one after that doubles the wait, from a second on."""

    kind: str
    free: int

    def wait_after(self, failures: int) -> timedelta:
        if failures <= self.free:
            return timedelta()
        return min(LONGEST, timedelta(seconds=2 ** min(failures - self.free - 1, 20)))


ACCOUNT = Allowance(kind="account", free=5)
ADDRESS = Allowance(kind="address", free=50)
"""A whole office may share an address."""


class Throttle:
    def __init__(self, database: Database, secret: str, *, purpose: str = "sign-in") -> None:
        """Attempts of another `purpose` (`password-reset`) are counted apart."""
        self._database = database
        self._purpose = purpose
        self._key = hashlib.blake2b(b"throttle", key=hashlib.sha256(secret.encode()).digest(), digest_size=32).digest()

    async def check(self, *, account: str | None = None, origin: Origin | None = None) -> None:
        """Raises `TooManyRequests` while the account or the address has to wait."""
        now = clock.now()
        keys = [key for key, _ in self._keys(account, origin)]
        async with self._database.system() as system:
            blocked_until = await system.scalar(
                select(func.max(SignInAttempts.blocked_until)).where(
                    SignInAttempts.key.in_(keys), SignInAttempts.blocked_until > now
                )
            )
        _refuse_until(blocked_until, now)

    async def failed(self, *, account: str | None = None, origin: Origin | None = None) -> None:
        """Count a failure.

        Raises `TooManyRequests` where others failed meanwhile and it should not have been tried: of many guesses at
        once, only as many are answered as one after the other would have been.
        """
        now = clock.now()
        blocked: list[datetime] = []
        async with self._database.system() as system:
            for key, allowance in self._keys(account, origin):
                blocked.append(await _count(system, key, allowance, now))
            await _sweep(system, now)
        _refuse_until(max(blocked, default=now), now)

    async def succeeded(self, *, account: str) -> None:
        """Forget the account's failures. The address's stay: whoever has one account may be after others."""
        async with self._database.system() as system:
            await system.execute(
                delete(SignInAttempts)
                .where(SignInAttempts.key == self._hash(ACCOUNT, account.lower()))
                .execution_options(synchronize_session=False)
            )

    def _keys(self, account: str | None, origin: Origin | None) -> list[tuple[bytes, Allowance]]:
        """In one order, so that two who count the same keys never wait for each other in a circle."""
        keys: list[tuple[bytes, Allowance]] = []
        if account is not None:
            keys.append((self._hash(ACCOUNT, account.lower()), ACCOUNT))
        if origin is not None:
            keys.append((self._hash(ADDRESS, origin.network), ADDRESS))
        return sorted(keys, key=lambda pair: pair[0])

    def _hash(self, allowance: Allowance, value: str) -> bytes:
        return hmac.digest(self._key, f"{self._purpose}|{allowance.kind}|{value}".encode(), "sha256")


async def _count(system: AsyncSession, key: bytes, allowance: Allowance, now: datetime) -> datetime:
    """One more failure under this key; returns until when it was blocked before."""
    await system.execute(
        insert(SignInAttempts)
        .values(key=key, failures=0, last_failed_at=now, blocked_until=now)
        .on_conflict_do_nothing()
    )
    attempts = await system.get_one(SignInAttempts, key, with_for_update=True, populate_existing=True)
    blocked_until = attempts.blocked_until
    if attempts.last_failed_at < now - FORGOTTEN_AFTER:
        attempts.failures = 0
    attempts.failures += 1
    attempts.last_failed_at = now
    attempts.blocked_until = max(blocked_until, now + allowance.wait_after(attempts.failures))
    await system.flush()
    return blocked_until


async def _sweep(system: AsyncSession, now: datetime) -> None:
    forgotten = (
        select(SignInAttempts.key)
        .where(SignInAttempts.last_failed_at < now - FORGOTTEN_AFTER)
        .limit(SWEEP)
        .with_for_update(skip_locked=True)
    )
    await system.execute(
        delete(SignInAttempts)
        .where(SignInAttempts.key.in_(forgotten.scalar_subquery()))
        .execution_options(synchronize_session=False)
    )


def _refuse_until(blocked_until: datetime | None, now: datetime) -> None:
    if blocked_until is not None and blocked_until > now:
        raise TooManyRequests(
            "Too many attempts failed; wait before the next one",
            code="too-many-attempts",
            retry_after=ceil((blocked_until - now).total_seconds()),
        )
