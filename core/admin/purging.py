"""Purging: once the grace of a deleted organization is over, all that it had goes; a tombstone stays.

It goes by the catalogue of the database and not by what is installed, so the tables of a module that left long ago are
purged as well. A table that is in the catalogue as a tenant's (its primary key begins with the organization) can't be
forgotten. Each batch is a transaction of its own that locks the organization's row, so of several workers one works;
what a crash cuts short, the next run takes up. The audit trail, which the purge itself still writes to, goes last.
"""

from collections.abc import Sequence
from datetime import timedelta
from graphlib import TopologicalSorter
from typing import Any
from uuid import UUID

import structlog
from msgspec import Struct
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.audit.sealing import LOCK as SEALING
from core.db.database import Database
from core.identity.models import Organization, Session, User
from core.identity.organization_models import OneTimeToken

log = structlog.get_logger()

BATCH = 2000
EVERY = timedelta(minutes=1)
TRAIL = ("core.audit_logs", "core.audit_seals")

_TABLES = text(
    "SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, "
    "ARRAY(SELECT format('%I', a.attname) FROM unnest(k.conkey) WITH ORDINALITY AS part(number, place) "
    "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = part.number ORDER BY part.place) AS key "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' "
    "JOIN pg_attribute first ON first.attrelid = c.oid AND first.attnum = k.conkey[1] "
    "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND first.attname = 'organization_id' "
    "AND n.nspname !~ '^(pg_|information_schema$)'"
)
_REFERENCES = text("SELECT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY(:tables)")


class TenantTable(Struct, frozen=True):
    name: str
    key: Sequence[str]
    """Columns of the primary key; the first is the organization."""


async def tenant_tables(system: AsyncSession) -> list[TenantTable]:
    """Every tenant table of every schema, in the order in which they can be emptied."""
    found = {row.oid: TenantTable(row.name, row.key) for row in await system.execute(_TABLES)}
    references = await system.execute(_REFERENCES, {"tables": list(found)})
    graph: dict[str, set[str]] = {table.name: set() for table in sorted(found.values(), key=lambda table: table.name)}
    for row in references:
        if row.conrelid != row.confrelid and row.confrelid in found:
            graph[found[row.confrelid].name].add(found[row.conrelid].name)
    by_name = {table.name: table for table in found.values()}
    ordered = list(TopologicalSorter(graph).static_order())
    return [by_name[name] for name in sorted(ordered, key=lambda name: name in TRAIL)]


class Purger:
    """One a worker."""

    def __init__(self, database: Database, *, batch: int = BATCH) -> None:
        self._database = database
        self._batch = batch

    async def purge_due(self) -> list[UUID]:
        """Purge every organization whose grace is over. Returns those that this run finished."""
        async with self._database.system() as system:
            due = await system.scalars(select(Organization.id).where(*_due()).order_by(Organization.deletes_at))
            ids = due.all()
        return [organization_id for organization_id in ids if await self._purge(organization_id)]

    async def _purge(self, organization_id: UUID) -> bool:
        """False where another worker is at it."""
        async with self._database.system() as system:
            tables = await tenant_tables(system)
        for table in tables:
            if table.name not in TRAIL and not await self._empty(organization_id, table):
                return False
        trail = [table for table in tables if table.name in TRAIL]
        return await self._empty(organization_id, trail[0]) and await self._bury(organization_id, tables)

    async def _empty(self, organization_id: UUID, table: TenantTable) -> bool:
        """Remove the organization's rows, a batch at a time. False where the organization can't be had."""
        while True:
            async with self._database.system() as system:
                if not await _lock(system, organization_id):
                    return False
                removed = await _remove(system, organization_id, table, at_most=self._batch)
                await _count(system, organization_id, {table.name: removed})
            if removed < self._batch:
                return True

    async def _bury(self, organization_id: UUID, tables: Sequence[TenantTable]) -> bool:
        """What was written meanwhile goes, and what is no tenant table; the organization's row is all that stays.

        No seal is made meanwhile: it would be one of a trail that is gone.
        """
        async with self._database.system() as system:
            await system.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(SEALING, 0))))
            if not await _lock(system, organization_id):
                return False
            await system.execute(
                update(User)
                .where(User.organization_id == organization_id)
                .values(organization_id=None, updated_at=User.updated_at)
            )
            await system.execute(delete(Session).where(Session.organization_id == organization_id))
            await system.execute(delete(OneTimeToken).where(OneTimeToken.organization_id == organization_id))
            await system.execute(
                update(Organization)
                .where(Organization.id == organization_id)
                .values(
                    name="",
                    slug=str(organization_id),
                    domain=None,
                    settings={},
                    suspended_reason=None,
                    purged_at=clock.now(),
                    version=Organization.version + 1,
                )
            )
            removed = {table.name: await _remove(system, organization_id, table) for table in tables}
            await _count(system, organization_id, removed)
        log.info("organization.purged", organization_id=str(organization_id))
        return True


def _due() -> tuple[Any, ...]:
    return Organization.is_deleted, Organization.deletes_at <= clock.now(), Organization.purged_at.is_(None)


async def _lock(system: AsyncSession, organization_id: UUID) -> bool:
    """Until the transaction's end nobody brings it back, and nobody else purges it."""
    mine = select(Organization.id).where(Organization.id == organization_id, *_due())
    return await system.scalar(mine.with_for_update(skip_locked=True)) is not None


async def _remove(
    system: AsyncSession, organization_id: UUID, table: TenantTable, *, at_most: int | None = None
) -> int:
    key = ", ".join(table.key)
    some = f"SELECT {key} FROM {table.name} WHERE organization_id = :organization_id LIMIT :at_most"  # noqa: S608 # the catalogue named them
    statement = f"DELETE FROM {table.name} WHERE organization_id = :organization_id AND ({key}) IN ({some})"  # noqa: S608
    result = await system.execute(text(statement), {"organization_id": organization_id, "at_most": at_most})
    return result.rowcount  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


async def _count(system: AsyncSession, organization_id: UUID, removed: dict[str, int]) -> None:
    """Add to what the tombstone says is gone."""
    counts = await system.scalar(select(Organization.purged_rows).where(Organization.id == organization_id)) or {}
    for name, number in removed.items():
        if number:
            counts[name] = counts.get(name, 0) + number
    await system.execute(
        update(Organization)
        .where(Organization.id == organization_id)
        .values(purged_rows=counts, updated_at=Organization.updated_at)
        .execution_options(synchronize_session=False)
    )
