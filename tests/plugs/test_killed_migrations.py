"""A migration that was killed half-way is simply run again.

What a revision does outside of its transaction stays when it dies: each that has such a part dies here at its end,
and the indexes that it was making are left as a `CREATE INDEX CONCURRENTLY` leaves them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import pytest
from alembic.runtime.migration import MigrationContext

from core.db.migrations import MigrationSet, downgrade, upgrade
from core.runtime import Runtime

BREAKS = "autocommit_block"
FOLLOWS = re.compile(r'^down_revision(?:: [\w |]+)? = "(?P<before>\w+)"', re.MULTILINE)
CATALOGUE = """
SELECT 'column', table_schema || '.' || table_name || '.' || column_name,
    concat_ws(' ', data_type, is_nullable, column_default, generation_expression)
FROM information_schema.columns WHERE table_schema = ANY ($1)
UNION ALL
SELECT 'index', indexrelid::regclass::text, indisvalid || pg_get_indexdef(indexrelid)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace::regnamespace::text = ANY ($1)
UNION ALL
SELECT 'constraint', conrelid::regclass || '.' || conname, convalidated || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace::regnamespace::text = ANY ($1)
UNION ALL
SELECT 'policy', schemaname || '.' || tablename || '.' || policyname, concat_ws(' ', roles, qual, with_check)
FROM pg_policies WHERE schemaname = ANY ($1)
UNION ALL
SELECT 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(pg_trigger.oid)
FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE NOT tgisinternal AND relnamespace::regnamespace::text = ANY ($1)
UNION ALL
SELECT 'function', oid::regprocedure::text, concat_ws(' ', proowner::regrole, proacl, pg_get_functiondef(oid))
FROM pg_proc WHERE pronamespace::regnamespace::text = ANY ($1) AND prokind = 'f'
ORDER BY 1, 2
"""
UNFINISHED = """
UPDATE pg_index SET indisvalid = false FROM pg_class
WHERE pg_class.oid = indexrelid AND relnamespace::regnamespace::text = $1 AND NOT indexrelid = ANY ($2)
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
RETURNING indexrelid::regclass::text
"""
INVALID = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
INDEXES = "SELECT indexrelid FROM pg_index"


class Killed(Exception):
    pass


async def ask(runtime: Runtime, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """As the superuser."""
    connection = await asyncpg.connect(runtime.settings.database_url)
    try:
        return [tuple(row) for row in await connection.fetch(sql, *values)]
    finally:
        await connection.close()


def breaking_revisions(migration_set: MigrationSet) -> list[tuple[str, str]]:
    """Each with the one that it follows; the newest first."""
    found: list[tuple[str, str]] = []
    for path in sorted(migration_set.directory.glob("[0-9]*.py"), reverse=True):
        follows = FOLLOWS.search(path.read_text())
        if follows is not None and BREAKS in path.read_text():
            found.append((path.name.partition("_")[0], follows["before"]))
    return found


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """While the list has something in it, a migration dies at the end of what it does outside of its transaction."""
    until: list[str] = []
    block = MigrationContext.autocommit_block

    @contextmanager
    def dies_at_its_end(self: MigrationContext) -> Iterator[None]:
        with block(self):
            yield
        if until:
            raise Killed(until.pop())

    monkeypatch.setattr(MigrationContext, BREAKS, dies_at_its_end)
    yield until


async def test_a_migration_that_was_killed_half_way_is_simply_run_again(scratch: Runtime, dying: list[str]) -> None:
    schemas = [each.name for each in scratch.migration_sets]
    fresh = await ask(scratch, CATALOGUE, schemas)
    died: list[tuple[Any, ...]] = []
    for each in scratch.migration_sets:
        for revision, before in breaking_revisions(each):
            await downgrade(scratch.settings.owner_url, each, to=before)
            there = [row[0] for row in await ask(scratch, INDEXES)]
            dying.append(revision)
            with pytest.raises(Killed):
                await upgrade(scratch.settings.owner_url, [each], to=revision)
            died += await ask(scratch, UNFINISHED, each.name, there)

            await upgrade(scratch.settings.owner_url, [each], to=revision)

            assert await ask(scratch, INVALID) == []
    await upgrade(scratch.settings.owner_url, scratch.migration_sets)
    assert died, "no revision makes an index outside of its transaction"
    assert await ask(scratch, CATALOGUE, schemas) == fresh
