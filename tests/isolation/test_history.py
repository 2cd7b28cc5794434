"""Migrations: they make what the models say, they can be taken back, and made again."""

import asyncpg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from core.db.database import connect
from core.db.migrations import MigrationSet, comparison_of, downgrade, owner_connection, pending_in, upgrade
from core.db.models import Base
from core.runtime import Runtime
from core.testing.definitions import DEFINITIONS, LEFTOVERS, WALLS


async def ask(runtime: Runtime, query: str) -> set[asyncpg.Record]:
    connection = await connect(runtime.settings.owner_url, role=None, name="history")
    try:
        return set(await connection.fetch(query))
    finally:
        await connection.close()


async def take_back(runtime: Runtime) -> None:
    for migration_set in reversed(runtime.migration_sets):
        await downgrade(runtime.settings.owner_url, migration_set, to="base")


def differences(connection: Connection, migration_set: MigrationSet) -> list[object]:
    return compare_metadata(MigrationContext.configure(connection, opts=comparison_of(migration_set)), Base.metadata)


async def test_autogenerate_has_nothing_to_add(scratch: Runtime) -> None:
    async with owner_connection(scratch.settings.owner_url) as connection:
        found = {s.name: await connection.run_sync(differences, s) for s in scratch.migration_sets}

    assert found == {s.name: [] for s in scratch.migration_sets}


async def test_the_migrations_make_what_the_models_say(scratch: Runtime) -> None:
    """Autogenerate is blind to CHECK constraints, defaults, generated columns and operator classes."""
    migrated = await ask(scratch, DEFINITIONS)
    await take_back(scratch)

    async with owner_connection(scratch.settings.owner_url) as connection:
        for extension in ("pg_trgm", "btree_gin"):
            await connection.execute(text(f"CREATE EXTENSION {extension} SCHEMA core"))
        await connection.run_sync(Base.metadata.create_all)
        await connection.commit()

    assert migrated ^ await ask(scratch, DEFINITIONS) == set()


async def test_what_is_taken_back_leaves_nothing_and_comes_again(scratch: Runtime) -> None:
    before = await ask(scratch, DEFINITIONS) | await ask(scratch, WALLS)

    await take_back(scratch)

    assert await ask(scratch, LEFTOVERS) == set()
    await upgrade(scratch.settings.owner_url, scratch.migration_sets)
    assert await ask(scratch, DEFINITIONS) | await ask(scratch, WALLS) == before
    async with owner_connection(scratch.settings.owner_url) as connection:
        assert await connection.run_sync(pending_in, scratch.migration_sets) == []
