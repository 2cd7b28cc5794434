"""The vault: seals and opens secrets with a data key for each organization.

sealed = await vault.seal(place_of(TotpFactor.seed, row_id=user_id), seed)
seed = await vault.unseal(place_of(TotpFactor.seed, row_id=user_id), sealed)

Data keys are read as the system role and kept in memory, so that sealing costs no query. A process learns within
`FRESH_SECONDS` that a key was retired; rotation waits for longer than that before it deletes one.
"""

import asyncio
from collections import OrderedDict
from uuid import UUID

from msgspec import Struct
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from core.db.database import Database
from core.secrets import cipher
from core.secrets.cipher import Place, UnsealError
from core.secrets.models import DataKey
from core.secrets.wrapping import Wrapped, WrappingKeys

FRESH_SECONDS = 2.0
"""How long a process seals with the key that it knows without looking whether it was retired."""
RINGS = 1000
"""Organizations whose keys are kept in memory; beyond that, those used longest ago are read again."""


class Ring(Struct, frozen=True):
    """The data keys of one organization."""

    keys: dict[int, bytes]
    current: int
    read_at: float
    """On the event loop's clock."""


class Vault:
    """One a process, for one event loop."""

    def __init__(self, database: Database, wrapping: WrappingKeys, *, fresh_seconds: float = FRESH_SECONDS) -> None:
        self.wrapping = wrapping
        self._database = database
        self._fresh_seconds = fresh_seconds
        self._rings: OrderedDict[UUID, Ring] = OrderedDict()
        self._reading = asyncio.Lock()

    async def seal(self, place: Place, plaintext: bytes) -> bytes:
        ring = await self._fresh_ring(place.organization_id)
        return cipher.seal(plaintext, place, key=ring.keys[ring.current], number=ring.current)

    async def unseal(self, place: Place, sealed: bytes) -> bytes:
        """Raises `UnsealError` for a value that was changed, moved, or sealed with a key that is gone."""
        number = cipher.key_number_of(sealed)
        ring = self._rings.get(place.organization_id)
        if ring is None or number not in ring.keys:
            ring = await self.read_keys(place.organization_id)
        if number not in ring.keys:
            raise UnsealError("the key that sealed the value is gone")
        return cipher.unseal(sealed, place, key=ring.keys[number])

    async def read_keys(self, organization_id: UUID) -> Ring:
        """The organization's keys as the database has them now. Makes the first."""
        async with self._reading:
            return await self._read_keys(organization_id)

    async def _fresh_ring(self, organization_id: UUID) -> Ring:
        if (ring := self._fresh_one(organization_id)) is not None:
            return ring
        async with self._reading:
            return self._fresh_one(organization_id) or await self._read_keys(organization_id)

    def _fresh_one(self, organization_id: UUID) -> Ring | None:
        ring = self._rings.get(organization_id)
        if ring is None or asyncio.get_running_loop().time() - ring.read_at > self._fresh_seconds:
            return None
        return ring

    async def _read_keys(self, organization_id: UUID) -> Ring:
        read_at = asyncio.get_running_loop().time()
        stored = await self._stored(organization_id)
        if not any(key.retired_at is None for key in stored):
            await self._make_key(organization_id, number=max((key.number for key in stored), default=0) + 1)
            stored = await self._stored(organization_id)
        keys = {key.number: self._unwrapped(key) for key in stored}
        ring = Ring(keys, max(key.number for key in stored if key.retired_at is None), read_at)
        self._rings[organization_id] = ring
        self._rings.move_to_end(organization_id)
        while len(self._rings) > RINGS:
            self._rings.popitem(last=False)
        return ring

    async def _stored(self, organization_id: UUID) -> list[DataKey]:
        async with self._database.system() as system:
            return list(await system.scalars(select(DataKey).where(DataKey.organization_id == organization_id)))

    async def _make_key(self, organization_id: UUID, *, number: int) -> None:
        """Whoever is second finds a current key there and adds none."""
        wrapped = self.wrapping.wrap(cipher.new_key(), organization_id=organization_id, number=number)
        async with self._database.system() as system:
            await system.execute(
                insert(DataKey)
                .values(
                    organization_id=organization_id,
                    number=number,
                    wrapping_key=wrapped.wrapping_key,
                    wrapped=wrapped.wrapped,
                )
                .on_conflict_do_nothing()
            )

    def _unwrapped(self, key: DataKey) -> bytes:
        stored = Wrapped(key.wrapping_key, key.wrapped)
        return self.wrapping.unwrap(stored, organization_id=key.organization_id, number=key.number)

    async def replace_key(self, organization_id: UUID) -> bool:
        """Retire the organization's data key and make the next. False where an earlier replacement is not finished."""
        async with self._database.system() as system:
            await system.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended('data-key:' || :organization, 0))"),
                {"organization": str(organization_id)},
            )
            keys = list(await system.scalars(select(DataKey).where(DataKey.organization_id == organization_id)))
            if any(key.retired_at is not None for key in keys):
                return False
            for key in keys:
                key.retired_at = func.now()  # pyright: ignore[reportAttributeAccessIssue] # PostgreSQL's clock
            await system.flush()
            number = max((key.number for key in keys), default=0) + 1
            wrapped = self.wrapping.wrap(cipher.new_key(), organization_id=organization_id, number=number)
            system.add(
                DataKey(
                    organization_id=organization_id,
                    number=number,
                    wrapping_key=wrapped.wrapping_key,
                    wrapped=wrapped.wrapped,
                )
            )
        return True
