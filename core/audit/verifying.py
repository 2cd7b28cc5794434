"""Verifying the trail: is everything that was sealed still there as it was, and nothing else?"""

import hmac
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncSession

from core.audit.chain import BOUNDS, SEAL_NUMBERED, SEALS, UNSEALED, Link, SealKeys
from core.audit.schemas import Fault, Head, Verification
from core.db.database import Database

SEALS_AT_ONCE = 20
SECONDS = 15.0
"""For one call; what is left is for the next, which starts where this one stopped."""


class _Place(Struct, frozen=True, kw_only=True):
    """How far the chain holds, and what the next seal builds on."""

    number: int = 0
    through_xid: str = "0"
    through_sequence: int = 0
    hash: bytes = b""


class Verifier:
    def __init__(self, database: Database, wrapping_keys: Mapping[str, bytes]) -> None:
        self._database = database
        self._keys = SealKeys(wrapping_keys)

    async def verify(self, organization_id: UUID, *, after: int = 0, kept: Head | None = None) -> Verification:
        """Recompute the chain behind seal `after`, which is taken on trust, until it ends or the time is up.

        `kept` is a head that was noted before: where the chain has no such seal any more, its end was taken away.
        """
        until = time.monotonic() + SECONDS
        entries, seals = 0, 0
        async with self._database.system() as system:
            mark, _ = (await system.execute(BOUNDS)).one()  # before the seals: those made meanwhile prove nothing old
            place = await self._at(system, organization_id, after)
            fault = Fault.SEAL_MISSING if place is None else None
            place = place or _Place(number=after - 1)
            while fault is None and (rows := await self._next(system, organization_id, place)):
                for row in rows:
                    fault = self._fault(organization_id, place, row)
                    if fault is not None:
                        break
                    place = _place_of(row, row.number)
                    entries, seals = entries + row.entries, seals + 1
                if time.monotonic() > until and fault is None:
                    return _outcome(place, seals, entries, complete=False)
            if fault is not None:
                return _outcome(place, seals, entries, fault=fault, broken_at=place.number + 1)
            unsealed = await _unsealed(system, organization_id, place, mark)
            if unsealed.is_late:
                fault = Fault.SEAL_MISSING
            elif kept is not None and not await self._is_there(system, organization_id, kept):
                fault = Fault.HEAD_MISSING
        broken_at = None if fault is None else place.number + 1
        return _outcome(place, seals, entries, unsealed=unsealed.entries, fault=fault, broken_at=broken_at)

    @staticmethod
    async def _at(system: AsyncSession, organization_id: UUID, number: int) -> _Place | None:
        """The place behind a seal; None where there is no such seal."""
        if number == 0:
            return _Place()
        values = {"organization_id": organization_id, "number": number}
        found = (await system.execute(SEAL_NUMBERED, values)).one_or_none()
        return None if found is None else _place_of(found, number)

    async def _is_there(self, system: AsyncSession, organization_id: UUID, kept: Head) -> bool:
        found = await self._at(system, organization_id, kept.number)
        return found is not None and hmac.compare_digest(found.hash.hex(), kept.hash)

    @staticmethod
    async def _next(system: AsyncSession, organization_id: UUID, place: _Place) -> Any:
        values = {
            "organization_id": organization_id,
            "after": place.number,
            "after_xid": place.through_xid,
            "after_sequence": place.through_sequence,
            "fetch": SEALS_AT_ONCE,
        }
        return (await system.execute(SEALS, values)).all()

    def _fault(self, organization_id: UUID, place: _Place, row: Any) -> Fault | None:
        if row.number != place.number + 1:
            return Fault.SEAL_MISSING
        if row.found != row.entries:
            return Fault.ENTRIES_MISSING if row.found < row.entries else Fault.ENTRIES_ADDED
        if row.key_name not in self._keys:
            return Fault.KEY_UNKNOWN
        link = Link(
            organization_id=organization_id,
            number=row.number,
            through_xid=row.through_xid,
            through_sequence=row.through_sequence,
            below_xid=row.below_xid,
            entries=row.entries,
            digest=row.digest,
        )
        holds = hmac.compare_digest(self._keys.hash(row.key_name, place.hash, link), row.hash)
        return None if holds else Fault.CHANGED


def _place_of(row: Any, number: int) -> _Place:
    return _Place(
        number=number, through_xid=row.through_xid, through_sequence=row.through_sequence, hash=bytes(row.hash)
    )


async def _unsealed(system: AsyncSession, organization_id: UUID, place: _Place, mark: str) -> Any:
    values = {
        "organization_id": organization_id,
        "through_xid": place.through_xid,
        "through_sequence": place.through_sequence,
        "mark": mark,
    }
    return (await system.execute(UNSEALED, values)).one()


def _outcome(
    place: _Place,
    seals: int,
    entries: int,
    *,
    complete: bool = True,
    unsealed: int = 0,
    fault: Fault | None = None,
    broken_at: int | None = None,
) -> Verification:
    return Verification(
        intact=fault is None,
        complete=complete,
        seals=seals,
        entries=entries,
        unsealed=unsealed,
        head=Head(number=place.number, hash=place.hash.hex()) if place.hash else None,
        broken_at=broken_at,
        fault=fault,
    )
