"""The keys that sign access tokens: Ed25519, sealed in the database, replaced by age, published as a JWK set.

A new key is in the database before anything is signed with it, so every process can learn it there. The former one goes
on verifying until the last token that it signed has ended.
"""

import asyncio
import base64
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct
from sqlalchemy import delete, select, text

from core import clock
from core.db.database import Database
from core.identity.credential_models import SigningKey
from core.ids import new_id
from core.secrets.sealed import place_of
from core.secrets.vault import Vault

MAX_AGE = timedelta(days=90)
LEAD = timedelta(hours=1)
"""A key that replaces one by age is published so long before it signs, for those who keep a copy of the JWK set."""
FRESH = timedelta(seconds=60)
"""How long a process signs without looking for a younger key."""
LEARN_SECONDS = 1.0
"""Between two looks for key ids that nobody here knows: forged ones cost no more than that, however many come."""
MARGIN = timedelta(minutes=2)
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('signing-keys', 0))")


class Jwk(Struct, frozen=True, kw_only=True):
    """A public key (RFC 8037)."""

    kid: str
    x: str
    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    use: Literal["sig"] = "sig"
    alg: Literal["EdDSA"] = "EdDSA"


class JwkSet(Struct, frozen=True, kw_only=True):
    keys: list[Jwk]


class Signer(Struct, frozen=True):
    """The key that signs now."""

    kid: str
    key: Ed25519PrivateKey


class SigningKeys:
    def __init__(self, database: Database, vault: Vault, *, access_seconds: float) -> None:
        """`access_seconds` is how long a token lives, and so how long a key is needed after its last use."""
        self._database = database
        self._vault = vault
        self._overlap = timedelta(seconds=access_seconds) + FRESH + MARGIN
        self._public: dict[str, Ed25519PublicKey] = {}
        self._signer: Signer | None = None
        self._read_at: datetime | None = None
        self._reading: asyncio.Task[None] | None = None
        self._learned_at = float("-inf")

    async def signer(self) -> Signer:
        now = clock.now()
        if self._signer is None or self._read_at is None or not self._read_at <= now < self._read_at + FRESH:
            await self._read()
        if self._signer is None:
            raise LookupError("no signing key could be made")
        return self._signer

    async def public_key(self, kid: str) -> Ed25519PublicKey | None:
        """The key of this id; looks into the database for one that is not known here."""
        if kid not in self._public and _is_uuid(kid):
            await self._learn()
        return self._public.get(kid)

    async def jwks(self) -> JwkSet:
        """All that verify now, and the one that is about to."""
        await self._learn()
        return JwkSet(keys=[Jwk(kid=kid, x=_encode(key.public_bytes_raw())) for kid, key in self._public.items()])

    async def rotate(self, *, lead: timedelta = timedelta()) -> UUID:
        """Make the next key, which signs after `lead`; in other processes up to a minute later."""
        made = await self._make(clock.now() + lead)
        async with self._database.system() as system:
            system.add(made)
        await self._read()
        return made.id

    async def _learn(self) -> None:
        """Read the keys; all who ask within a moment share one look."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_soon())
        await asyncio.shield(self._reading)

    async def _read_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            if (wait := self._learned_at + LEARN_SECONDS - loop.time()) > 0:
                await asyncio.sleep(min(wait, LEARN_SECONDS))
            self._learned_at = loop.time()
            await self._read()
        finally:
            self._reading = None

    async def _read(self) -> None:
        now = clock.now()
        keys = await self._stored()
        if not keys or _is_due(keys, now) or self._outlived(keys, now):
            await self._replace(now)
            keys = await self._stored()
        self._public = {str(key.id): Ed25519PublicKey.from_public_bytes(key.public_key) for key in keys}
        # Where another process's clock is ahead of ours, its first key is yet to sign by ours: it does all the same.
        youngest = [keys[0], *(key for key in keys if key.signs_from <= now)][-1]
        if self._signer is None or self._signer.kid != str(youngest.id):
            place = place_of(SigningKey.private_key, row_id=youngest.id)
            raw = await self._vault.unseal(place, youngest.private_key)
            self._signer = Signer(str(youngest.id), Ed25519PrivateKey.from_private_bytes(raw))
        self._read_at = now

    async def _stored(self) -> list[SigningKey]:
        async with self._database.system() as system:
            return list(await system.scalars(select(SigningKey).order_by(SigningKey.signs_from, SigningKey.id)))

    async def _replace(self, now: datetime) -> None:
        """Add the key that is missing and drop those that nothing is signed with any more; one process does it."""
        made = await self._make(now)
        async with self._database.system() as system:
            await system.execute(LOCK)
            keys = list(await system.scalars(select(SigningKey).order_by(SigningKey.signs_from, SigningKey.id)))
            if not keys:
                system.add(made)
            elif _is_due(keys, now):
                made.signs_from = now + LEAD
                system.add(made)
            await system.execute(
                delete(SigningKey)
                .where(SigningKey.id.in_(self._outlived(keys, now)))
                .execution_options(synchronize_session=False)
            )

    def _outlived(self, keys: list[SigningKey], now: datetime) -> list[UUID]:
        """Keys whose successor has signed for longer than a token lives."""
        return [key.id for key, successor in pairwise(keys) if successor.signs_from + self._overlap < now]

    async def _make(self, signs_from: datetime) -> SigningKey:
        key, key_id = Ed25519PrivateKey.generate(), new_id()
        sealed = await self._vault.seal(place_of(SigningKey.private_key, row_id=key_id), key.private_bytes_raw())
        return SigningKey(
            id=key_id,
            public_key=key.public_key().public_bytes_raw(),
            private_key=sealed,
            signs_from=signs_from,
        )


def _is_due(keys: list[SigningKey], now: datetime) -> bool:
    """Whether the youngest key is so old that its successor has to be published."""
    return max(key.signs_from for key in keys) < now - (MAX_AGE - LEAD)


def _is_uuid(kid: str) -> bool:
    try:
        return str(UUID(kid)) == kid
    except ValueError:
        return False


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
