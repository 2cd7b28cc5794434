"""Rotation: new data keys, every sealed value sealed anew, the old keys deleted, while the system serves.

1. Each organization gets a new data key; what is sealed from now on is sealed with it.
2. Once every process has noticed, each value under a retired key is sealed anew, in small batches. A row that somebody
   is changing is skipped and comes up again, so rotation never waits for a lock while it holds one.
3. Once every transaction that began before has ended, a pass that finds nothing left shows that the key is out of use.
4. After another pause, for readers that still hold a value as it was, the retired keys are deleted.

A run that was cut short is taken up by the next: it finds retired keys and goes on from there.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from msgspec import Struct
from sqlalchemy import Row, Select, bindparam, delete, exists, func, select, text, update

from core.db.database import Database
from core.secrets import cipher
from core.secrets.cipher import UnsealError
from core.secrets.models import DataKey
from core.secrets.sealed import NOBODY, ORGANIZATION, SealedColumn, sealed_columns
from core.secrets.vault import Vault
from core.secrets.wrapping import Wrapped

log = structlog.get_logger()

BATCH = 100
SETTLE_SECONDS = 15.0
"""Longer than `FRESH_SECONDS` and than any request that holds a sealed value takes to be done with it."""
PATIENCE_SECONDS = 300.0
"""For transactions that began earlier, and for rows that others have locked."""
POLL_SECONDS = 0.1
PREFIX_BYTES = len(cipher.FORMAT) + cipher.NUMBER_BYTES


class RotationStalled(Exception):
    """Old keys are still in use; nothing is lost, and running it again goes on from here."""


class Rotated(Struct, frozen=True, kw_only=True):
    """What one run did."""

    organizations: int
    values: int
    """Sealed anew."""
    rewrapped: int
    deleted: int
    """Data keys that are gone."""


class Rotation:
    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        settle_seconds: float = SETTLE_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._settle_seconds = settle_seconds
        self._patience_seconds = patience_seconds
        self._say = say

    async def run(self) -> Rotated:
        """Raises `RotationStalled` where old keys have to stay."""
        rewrapped = await self._rewrap()  # first, as it fails where a wrapping key is missing
        organizations = await self._organizations()
        made = [await self._vault.replace_key(organization) for organization in organizations]
        self._say(f"{sum(made)} new data keys, {len(made) - sum(made)} to finish from an earlier run")
        await asyncio.sleep(self._settle_seconds)
        for organization in organizations:
            await self._vault.read_keys(organization)
        values = await self._seal_all_anew(organizations)
        self._say(f"{values} values sealed anew")
        await asyncio.sleep(self._settle_seconds)
        deleted = sum([await self._delete_retired(organization) for organization in organizations])
        self._say(f"{deleted} old data keys deleted")
        return Rotated(organizations=len(organizations), values=values, rewrapped=rewrapped, deleted=deleted)

    async def _organizations(self) -> Sequence[UUID]:
        async with self._database.system() as system:
            found = await system.scalars(select(DataKey.organization_id).distinct().order_by(DataKey.organization_id))
            return found.all()

    async def _rewrap(self) -> int:
        """Wrap with the primary key what another one wraps."""
        wrapping = self._vault.wrapping
        async with self._database.system() as system:
            others = (await system.scalars(select(DataKey).where(DataKey.wrapping_key != wrapping.primary))).all()
        for key in others:
            organization, number = key.organization_id, key.number
            plain = wrapping.unwrap(Wrapped(key.wrapping_key, key.wrapped), organization_id=organization, number=number)
            anew = wrapping.wrap(plain, organization_id=organization, number=number)
            async with self._database.system() as system:
                await system.execute(
                    update(DataKey)
                    .where(DataKey.organization_id == organization, DataKey.id == key.id)
                    .where(DataKey.wrapped == key.wrapped)
                    .values(wrapping_key=anew.wrapping_key, wrapped=anew.wrapped)
                    .execution_options(synchronize_session=False)
                )
        return len(others)

    async def _seal_all_anew(self, organizations: Sequence[UUID]) -> int:
        """Pass after pass, until one that began behind every older transaction finds nothing under an old key."""
        until = asyncio.get_running_loop().time() + self._patience_seconds
        values, older_have_ended = 0, False
        while True:
            changed, left = 0, 0
            for organization in organizations:
                for column in _columns_of(organization):
                    changed += await self._seal_column_anew(organization, column)
                    left += await self._count_left(organization, column)
            values += changed
            if changed == left == 0 and older_have_ended:
                return values
            if left == 0:
                await self._older_transactions_end(until)
                older_have_ended = True
            elif asyncio.get_running_loop().time() > until:
                raise RotationStalled(f"{left} values are still under an old key; see the log, then run it again")
            else:
                await asyncio.sleep(POLL_SECONDS)

    async def _older_transactions_end(self, until: float) -> None:
        """Wait until nothing that was written before now is still to be committed."""
        async with self._database.system() as system:
            now = await system.scalar(text("SELECT pg_current_xact_id()::text"))
        oldest = text("SELECT pg_snapshot_xmin(pg_current_snapshot()) > (:now)::text::xid8")
        while True:
            async with self._database.system() as system:
                if await system.scalar(oldest, {"now": now}):
                    return
            if asyncio.get_running_loop().time() > until:
                raise RotationStalled("A transaction is open for very long; end it, then run it again")
            await asyncio.sleep(POLL_SECONDS)

    async def _seal_column_anew(self, organization: UUID, column: SealedColumn) -> int:
        changed, after = 0, NOBODY
        while True:
            rows, fresh = await self._batch(organization, column, after)
            changed += fresh
            if len(rows) < BATCH:
                return changed
            after = rows[-1][0]

    async def _batch(
        self, organization: UUID, column: SealedColumn, after: UUID
    ) -> tuple[Sequence[Row[UUID, bytes]], int]:
        """Seal the next rows anew. They are locked for these few milliseconds, so no newer value is overwritten."""
        current = (await self._vault.read_keys(organization)).current
        stale = (
            _under_old_key(organization, column, current)
            .where(column.row_id > after)
            .order_by(column.row_id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        async with self._database.system() as system:
            rows = (await system.execute(stale)).all()
            anew = [
                (row_id, fresh)
                for row_id, old in rows
                if (fresh := await self._anew(organization, column, row_id, old))
            ]
            if anew:
                mine = [column.table.c[ORGANIZATION] == organization] if column.is_tenants else []
                await (await system.connection()).execute(
                    update(column.table)
                    .where(*mine, column.row_id == bindparam("its_id"))
                    .values({column.value.name: bindparam("fresh")}),
                    [{"its_id": row_id, "fresh": fresh} for row_id, fresh in anew],
                )
        return rows, len(anew)

    async def _anew(self, organization: UUID, column: SealedColumn, row_id: UUID, old: bytes) -> bytes | None:
        place = column.place(organization, row_id)
        try:
            return await self._vault.seal(place, await self._vault.unseal(place, old))
        except UnsealError as error:
            log.error("rotation.unreadable", place=str(place), error=str(error))  # noqa: TRY400
            return None

    async def _count_left(self, organization: UUID, column: SealedColumn) -> int:
        current = (await self._vault.read_keys(organization)).current
        async with self._database.system() as system:
            rows = _under_old_key(organization, column, current).subquery()
            return await system.scalar(select(func.count()).select_from(rows)) or 0

    async def _delete_retired(self, organization: UUID) -> int:
        """Delete the organization's retired keys, each only where no value is under it."""
        async with self._database.system() as system:
            retired = (
                await system.scalars(
                    select(DataKey).where(DataKey.organization_id == organization, DataKey.retired_at.is_not(None))
                )
            ).all()
            deleted = 0
            for key in retired:
                in_use = [exists(_under_key(organization, column, key.number)) for column in _columns_of(organization)]
                removed = await system.execute(
                    delete(DataKey)
                    .where(DataKey.organization_id == organization, DataKey.id == key.id, *(~used for used in in_use))
                    .returning(DataKey.id)
                    .execution_options(synchronize_session=False)
                )
                deleted += len(removed.all())
        await self._vault.read_keys(organization)
        if deleted < len(retired):
            raise RotationStalled("A value came in under an old key; run it again")
        return deleted


def _columns_of(organization: UUID) -> list[SealedColumn]:
    return [column for column in sealed_columns() if column.is_tenants == (organization != NOBODY)]


def _sealed_values(organization: UUID, column: SealedColumn) -> Select[UUID, bytes]:
    mine = [column.table.c[ORGANIZATION] == organization] if column.is_tenants else []
    return select(column.row_id, column.value).where(*mine, column.value.is_not(None))


def _under_old_key(organization: UUID, column: SealedColumn, current: int) -> Select[UUID, bytes]:
    return _sealed_values(organization, column).where(func.substr(column.value, 1, PREFIX_BYTES) != _prefix(current))


def _under_key(organization: UUID, column: SealedColumn, number: int) -> Select[UUID, bytes]:
    return _sealed_values(organization, column).where(func.substr(column.value, 1, PREFIX_BYTES) == _prefix(number))


def _prefix(number: int) -> bytes:
    return cipher.FORMAT + number.to_bytes(cipher.NUMBER_BYTES)
