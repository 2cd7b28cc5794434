"""Migrations: they make what the models say, they can be taken back, and made again."""

import asyncpg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from core.db.database import connect
from core.db.migrations import (
    VERSION_TABLE,
    MigrationSet,
    comparison_of,
    downgrade,
    owner_connection,
    pending_in,
    upgrade,
)
from core.db.models import Base
from core.runtime import Runtime

OURS = "n.nspname !~ '^(pg_|information_schema$)' AND n.nspname <> 'public'"
DEFINITIONS = f"""
    SELECT 'column', c.oid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
               || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END || ' ' || a.attidentity::text
               || a.attgenerated::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE {OURS} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
      AND c.relname <> '{VERSION_TABLE}'
    UNION ALL SELECT 'constraint', k.conrelid::regclass::text, k.conname::text, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {OURS} AND c.relname <> '{VERSION_TABLE}'
    UNION ALL SELECT 'index', i.indrelid::regclass::text, c.relname::text, pg_get_indexdef(i.indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {OURS} AND c.relname NOT LIKE '{VERSION_TABLE}%'
"""
"""All that a table is: its columns, its constraints, its indexes."""
WALLS = f"""
    SELECT 'policy', p.polrelid::regclass::text, p.polname::text,
           concat_ws(' ', p.polcmd, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid),
                     pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy p
    UNION ALL SELECT 'grants', c.oid::regclass::text, c.relkind::text, c.relacl::text || c.relforcerowsecurity
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {OURS}
    UNION ALL SELECT 'function', p.oid::regprocedure::text, p.proacl::text, pg_get_functiondef(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {OURS} AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
"""
"""What guards the tables, and the functions beside them."""
LEFTOVERS = f"""
    SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {OURS} AND c.relname NOT LIKE '{VERSION_TABLE}%'
    UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {OURS}
    UNION ALL SELECT t.oid::regtype::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE {OURS} AND t.typname NOT IN ('{VERSION_TABLE}', '_{VERSION_TABLE}')
"""


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
