"""Rules about the module's tables: its history, its models, its schema and the walls round each table."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from core.db.migrations import VERSION_TABLE, downgrade, owner_connection, upgrade
from core.db.models import Base
from core.db.tenancy import APP_ROLE
from core.testing.catalogue import definer_faults, definer_functions, table_faults, tables, unguardable
from core.testing.conformance.candidate import Candidate, Rule, looking, qualified
from core.testing.definitions import DEFINITIONS, LEFTOVERS, WALLS

ALL = f"{DEFINITIONS} UNION ALL {WALLS}"
type Definitions = set[tuple[str, ...]]


async def migrations_go_up_down_and_up(candidate: Candidate) -> Sequence[str]:
    """The revisions can be taken back to nothing and made again, and are then as they were.

    A downgrade drops what its upgrade made: tables, functions, types. A module that has tables has migrations.
    """
    if candidate.plug.migrations is None:
        return [f"{candidate.name} has tables and no folder migrations"] if candidate.tables else []
    history = await _history(candidate)
    return [
        *history.failures,
        *(f"the downgrade leaves {name}: drop it there" for name in history.left),
        *(f"after down and up, {_told(each)} is gone" for each in sorted(history.before - history.after)),
        *(f"after down and up, {_told(each)} is new" for each in sorted(history.after - history.before)),
    ]


async def the_schema_is_its_own(candidate: Candidate) -> Sequence[str]:
    """Whatever its migrations make, and every table of its models, is in the schema that has the module's name.

    Else the module could not leave: removing one is to drop its schema.
    """
    files = {file.__name__ for file in candidate.files}
    strays = [
        f"{mapper.class_.__name__} is a model of the schema {mapper.local_table.schema}: say schema={candidate.name!r}"  # pyright: ignore[reportAttributeAccessIssue]
        for mapper in Base.registry.mappers
        if mapper.class_.__module__ in files and mapper.local_table.schema != candidate.name  # pyright: ignore[reportAttributeAccessIssue]
    ]
    made = (await _history(candidate)).elsewhere if candidate.plug.migrations is not None else ()
    return [*strays, *(f"the migrations make {_told(each)}, outside of their schema" for each in sorted(made))]


async def migrations_make_what_the_models_say(candidate: Candidate) -> Sequence[str]:
    """Columns, defaults, constraints and indexes are the same in the migrations and in the models.

    `plugs makemigration NAME "what for"` writes the revision that is missing.
    """
    async with owner_connection(candidate.scratch.settings.owner_url) as connection:
        migrated = await _definitions(connection, candidate.name)
        for name in {each[1] for each in migrated}:
            await connection.execute(text(f"DROP TABLE IF EXISTS {name} CASCADE"))
        await connection.run_sync(Base.metadata.create_all, tables=candidate.tables)
        modelled = await _definitions(connection, candidate.name)
        await connection.rollback()
    return [
        *(f"{_told(each)} is in the models and not in the migrations" for each in sorted(modelled - migrated)),
        *(f"{_told(each)} is in the migrations and not in the models" for each in sorted(migrated - modelled)),
    ]


async def every_table_has_its_walls(candidate: Candidate) -> Sequence[str]:
    """Each table inherits `TenantModel`, and its migration calls `op.guard_tenant_table`: forced row security with
    both policies, keys, references and an index that start with the tenant, and the triggers of the audit trail.
    Nothing sees past row security.
    """
    async with looking(candidate.runtime) as catalogue:
        own = {name for name in await tables(catalogue) if _is_in(name, candidate.name)}
        functions = [row for row in await definer_functions(catalogue) if row["schema"] == candidate.name]
        shown = [fault for fault in await unguardable(catalogue) if _is_in(fault, candidate.name)]
        return [
            *(f"{name} is no tenant's: inherit TenantModel" for name in sorted(own - qualified(candidate.tables))),
            *await table_faults(catalogue, own),
            *shown,
            *definer_faults(functions, dict.fromkeys(candidate.allowances.definer_functions, APP_ROLE)),
        ]


def _is_in(name: str, schema: str) -> bool:
    return name.startswith((f"{schema}.", f'"{schema}".'))


def _within(schema: str, definitions: str) -> str:
    """Those of one schema: PostgreSQL writes out no others."""
    own = f"starts_with(owner, '{schema}.') OR starts_with(owner, '\"{schema}\".')"
    return f"SELECT * FROM ({definitions}) AS found (kind, owner, name, definition) WHERE {own}"


def _told(definition: tuple[str, ...]) -> str:
    kind, owner, name, what = definition
    return f"{kind} {name} of {owner} ({' '.join((what or '').split())[:200]})"


async def _definitions(connection: AsyncConnection, schema: str) -> Definitions:
    return {tuple(row) for row in await connection.execute(text(_within(schema, DEFINITIONS)))}


class History(Struct, frozen=True, kw_only=True):
    """What was seen when a module's migrations were taken back and made again."""

    before: Definitions
    """Of the module's schema, as are the others but for the last."""
    left: list[str]
    after: Definitions
    elsewhere: Definitions
    """What only the migrations can have made in other schemas."""
    failures: list[str]


async def _history(candidate: Candidate) -> History:
    """Seen once, for all rules that ask. The database is as it was afterwards, so far as the migrations know how."""
    if candidate not in _seen:
        _seen[candidate] = await _see(candidate)
    return _seen[candidate]


_seen: WeakKeyDictionary[Candidate, History] = WeakKeyDictionary()


async def _see(candidate: Candidate) -> History:
    url, migrations = candidate.scratch.settings.owner_url, candidate.plug.migrations
    assert migrations is not None
    failures: list[str] = []
    async with looking(candidate.scratch) as connection:
        before = {tuple(row) for row in await connection.fetch(_within(candidate.name, ALL))}
    try:
        await downgrade(url, migrations, to="base")
    except DBAPIError as error:
        failures.append(f"the downgrade fails: {error.orig}")
    left = [name for name in await _names(candidate, LEFTOVERS) if _is_in(name, candidate.name)]
    _, without = await _everything(candidate)
    if left or failures:
        async with owner_connection(url) as connection:
            await connection.execute(text(f'DROP SCHEMA "{candidate.name}" CASCADE'))
            await connection.commit()
    try:
        await upgrade(url, [migrations])
    except DBAPIError as error:
        failures.append(f"the upgrade fails after a downgrade: {error.orig}")
    after, elsewhere = await _everything(candidate)
    return History(before=before, left=left, after=after, elsewhere=elsewhere - without, failures=failures)


async def _everything(candidate: Candidate) -> tuple[Definitions, Definitions]:
    """What there is in the module's schema, and in every other."""
    async with looking(candidate.scratch) as connection:
        found = {tuple(row) for row in await connection.fetch(ALL)}
    own = {each for each in found if _is_in(each[1], candidate.name)}
    return own, {each for each in found - own if VERSION_TABLE not in each[1]}


async def _names(candidate: Candidate, query: str) -> list[str]:
    async with looking(candidate.scratch) as connection:
        return sorted({row[0] for row in await connection.fetch(query)})


RULES: tuple[Rule, ...] = (
    migrations_go_up_down_and_up,
    the_schema_is_its_own,
    migrations_make_what_the_models_say,
    every_table_has_its_walls,
)
