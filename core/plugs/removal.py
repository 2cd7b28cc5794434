"""A module leaves: purge takes one organization's data out and removes them, uninstall drops the module's schema.

Both go by what is in the database and need no line of the module's code, so they work for one that is long gone.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Iterable
from datetime import datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.announcements import announce
from core.db.database import Database
from core.db.migrations import owner_connection
from core.db.tenancy import OWNER_ROLE, SYSTEM_ROLE
from core.errors import Conflict, NotFound
from core.tasks.holding import lock_modules
from core.tasks.models import OutboxJob
from core.toggles.models import ModuleState, OrganizationModule
from core.toggles.states import TOPIC

MANIFEST = "manifest.json"
LINES = 1000
NOT_MODULES = ("core", "public", "information_schema")


class Tombstone(Struct, frozen=True, kw_only=True):
    """What was purged, and where it went: the same as the export's manifest."""

    module: str
    organization_id: UUID
    purged_at: datetime
    rows: dict[str, int]
    """By table."""
    sha256: dict[str, str]
    """By file of the export."""
    directory: str


async def purge(
    database: Database, organization_id: UUID, module: str, folder: Path, *, early: bool = False
) -> Tombstone:
    """Export an organization's rows of a disabled module below `folder`, then remove them, its jobs too.

    Export and removal see the same rows, and the files are complete before the removal commits: a crash leaves the
    rows, or the files, or both. Raises `Conflict` where the module is not disabled, or, unless `early`, its data are
    still to be kept.
    """
    async with database.system() as system:
        await lock_modules(system, organization_id)
        row = await _disabled(system, organization_id, module, early=early)
        now = clock.now()
        directory = folder / str(organization_id) / f"{module}-{now:%Y%m%dT%H%M%SZ}"
        tables = await tables_of(system, module)
        tombstone = await _export(system, tables, organization_id, module, directory, now)
        for table in reversed(tables):
            removed = await system.execute(_of(table, "DELETE FROM"), {"organization_id": organization_id})
            if removed.rowcount != tombstone.rows[table]:  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
                raise Conflict(f"{table} changed while it was exported", code="purge-disturbed")
        await system.execute(
            delete(OutboxJob).where(
                OutboxJob.organization_id == organization_id, func.split_part(OutboxJob.actor, ".", 1) == module
            )
        )
        await system.execute(
            update(OrganizationModule)
            .where(OrganizationModule.organization_id == organization_id, OrganizationModule.id == row.id)
            .values(
                state=ModuleState.PURGED.value,
                settings={},
                retained_until=None,
                changed_at=now,
                tombstone=msgspec.to_builtins(tombstone),
                version=OrganizationModule.version + 1,
            )
            .execution_options(synchronize_session=False)
        )
        await announce(system, TOPIC, str(organization_id))
    return tombstone


async def _disabled(system: AsyncSession, organization_id: UUID, module: str, *, early: bool) -> OrganizationModule:
    """The row of a module whose data may go."""
    row = await system.scalar(
        select(OrganizationModule)
        .where(OrganizationModule.organization_id == organization_id, OrganizationModule.module == module)
        .with_for_update()
    )
    if row is None:
        raise NotFound(f"The organization never had {module}", code="module-not-found")
    if row.state != ModuleState.DISABLED:
        raise Conflict(f"{module} is {row.state}: disable it first", code="module-not-disabled")
    if not early and row.retained_until is not None and clock.now() < row.retained_until:
        until = f"{row.retained_until:%Y-%m-%d %H:%M} UTC"
        raise Conflict(f"The data of {module} are kept until {until}", code="module-retained")
    return row


async def tables_of(system: AsyncSession, schema: str) -> list[str]:
    """The tenant tables of a schema, those that are referred to first."""
    if schema in NOT_MODULES or schema.startswith("pg_"):
        raise NotFound(f"{schema} is no module", code="module-not-found")
    found = await system.execute(
        text(
            "SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped "
            "WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        ),
        {"schema": schema},
    )
    names: dict[int, str] = {row.oid: row.name for row in found}
    references = await system.execute(
        text("SELECT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY(:tables)"),
        {"tables": list(names)},
    )
    graph: dict[str, set[str]] = {name: set() for name in sorted(names.values())}
    for row in references:
        if row.conrelid != row.confrelid and row.confrelid in names:
            graph[names[row.conrelid]].add(names[row.confrelid])
    return list(TopologicalSorter(graph).static_order())


def _of(table: str, verb: str) -> Any:
    """A statement on the organization's rows of a table that the catalogue named, quoted where it needs to be."""
    return text(f"{verb} {table} WHERE organization_id = :organization_id")


async def _export(
    system: AsyncSession, tables: list[str], organization_id: UUID, module: str, directory: Path, now: datetime
) -> Tombstone:
    partial = directory.with_name(f"{directory.name}.partial")
    await asyncio.to_thread(partial.mkdir, parents=True, exist_ok=False)
    rows: dict[str, int] = {}
    digests: dict[str, str] = {}
    for table in tables:
        file = partial / f"{table.rpartition('.')[2]}.jsonl"
        rows[table], digests[file.name] = await _export_table(system, table, organization_id, file)
    tombstone = Tombstone(
        module=module,
        organization_id=organization_id,
        purged_at=now,
        rows=rows,
        sha256=digests,
        directory=str(directory),
    )
    await asyncio.to_thread(_seal, partial, directory, tombstone)
    return tombstone


async def _export_table(system: AsyncSession, table: str, organization_id: UUID, file: Path) -> tuple[int, str]:
    """Rows and SHA-256 of the file that was written: one JSON object a line, in the order of their ids."""
    count, digest = 0, hashlib.sha256()
    with await asyncio.to_thread(file.open, "xb") as output:
        async for lines in _json_rows(system, table, organization_id):
            count += len(lines)
            await asyncio.to_thread(_write, output, lines, digest)
    return count, digest.hexdigest()


async def _json_rows(system: AsyncSession, table: str, organization_id: UUID) -> AsyncGenerator[list[str]]:
    statement = text(
        f"SELECT row_to_json(t)::text FROM {table} AS t WHERE organization_id = :organization_id ORDER BY t"  # noqa: S608 # the catalogue named it
    )
    result = await system.stream(statement, {"organization_id": organization_id})
    async for rows in result.partitions(LINES):
        yield [row[0] for row in rows]


def _write(output: BinaryIO, lines: Iterable[str], digest: Any) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    digest.update(content)
    output.write(content)


def _seal(partial: Path, directory: Path, tombstone: Tombstone) -> None:
    """Give the export its name once it is whole and on the disk."""
    (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(tombstone)))
    for file in partial.iterdir():
        with file.open("rb+") as written:
            os.fsync(written.fileno())
    partial.rename(directory)


async def uninstall(owner_url: str, module: str) -> list[str]:
    """Drop a module's schema. Returns the tables that went.

    Raises `Conflict` where an organization uses the module or its data are still kept, naming how many; `NotFound`
    where there is no such schema.
    """
    async with owner_connection(owner_url) as connection:
        await connection.execute(text("LOCK TABLE core.organization_modules IN SHARE ROW EXCLUSIVE MODE"))
        await connection.execute(text(f"SET LOCAL ROLE {SYSTEM_ROLE}"))
        async with AsyncSession(bind=connection) as system:
            tables = await tables_of(system, module)
            holding = await system.scalar(
                select(func.count())
                .select_from(OrganizationModule)
                .where(
                    OrganizationModule.module == module,
                    OrganizationModule.state.not_in([ModuleState.AVAILABLE.value, ModuleState.PURGED.value]),
                )
            )
            exists = await system.scalar(text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": module})
            if holding:
                raise Conflict(f"{holding} organizations use {module} or keep its data", code="module-in-use")
            if not exists:
                raise NotFound(f"There is no schema {module}", code="module-not-found")
            await connection.execute(text(f"SET LOCAL ROLE {OWNER_ROLE}"))
            await connection.execute(text(f'DROP SCHEMA "{module}" CASCADE'))
            await connection.commit()
    return tables
