"""The migration runner: every module's Alembic history in a version table of its own, inside the module's schema.

One shared version table would break every command as soon as one plugin is uninstalled. The sets run in the order
they are given (dependencies first), as `plugs_owner`, under one advisory lock, so that two deployments started at
once do the work once.
"""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from msgspec import Struct
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from core.db.models import Base
from core.db.tenancy import APP_ROLE, OWNER_ROLE, SYSTEM_ROLE

if TYPE_CHECKING:  # what migrates imports Alembic; what serves has no use for it, and starts in half the time
    from alembic.config import Config

ENVIRONMENT = Path(__file__).parents[2] / "migrations"
LOCK_KEY = 0x706C756773
LOCK_TIMEOUT = "5s"
VERSION_TABLE = "alembic_version"
_SAYS = re.compile(
    r"""^revision(?:: \w+)? = ["'](?P<revision>\w+)["']\n(?:.*\n)*?"""
    r"""^down_revision(?:: [\w |]+)? = (?:None|["'](?P<follows>\w+)["'])$""",
    re.MULTILINE,
)


class MigrationSet(Struct, frozen=True, kw_only=True):
    """One module's history."""

    name: str
    """Also the name of its schema."""
    directory: Path
    """Where its revision files are."""


class Pending(Struct, frozen=True, kw_only=True):
    name: str
    current: str | None
    head: str | None

    @property
    def is_pending(self) -> bool:
        return self.current != self.head


def config_of(migration_set: MigrationSet, connection: Connection | None = None) -> "Config":
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("version_locations", str(migration_set.directory).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["migration_set"] = migration_set
    config.attributes["connection"] = connection
    return config


def comparison_of(migration_set: MigrationSet) -> dict[str, Any]:
    """How Alembic compares the models with the database: one module's schema, whatever other models are imported."""
    schema = migration_set.name

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        return name == schema if kind == "schema" else parents.get("schema_name", schema) == schema

    def include_object(obj: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
        return not (kind == "table" and (obj.schema != schema or name == VERSION_TABLE))

    return {
        "target_metadata": Base.metadata,
        "version_table": VERSION_TABLE,
        "version_table_schema": schema,
        "include_schemas": True,
        "include_name": include_name,
        "include_object": include_object,
    }


def head_of(migration_set: MigrationSet) -> str | None:
    """The revision that no other follows; None where there is none. Raises Alembic's error where there are several.

    Where the files say plainly what each is and follows, their text is enough.
    """
    said = [_SAYS.search(path.read_text()) for path in migration_set.directory.glob("*.py")]
    follows = {found["revision"]: found["follows"] for found in said if found}
    heads = follows.keys() - set(follows.values())
    if all(said) and len(heads) <= 1:
        return next(iter(heads), None)
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory.from_config(config_of(migration_set)).get_current_head()


@asynccontextmanager
async def owner_connection(url: str) -> AsyncGenerator[AsyncConnection]:
    """A connection that acts as the owner role and holds the migration lock. Makes the roles where they are missing."""

    async def creator() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            url, timeout=5, server_settings={"application_name": "plugs:migrate", "timezone": "UTC"}
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
            await _ensure_roles(connection)
            await connection.execute(text(f"SET ROLE {OWNER_ROLE}"))
            await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            await connection.commit()
            yield connection
    finally:
        await engine.dispose()


async def _ensure_roles(connection: AsyncConnection) -> None:
    """Roles belong to the whole cluster: another database's migration may make them at the same moment."""
    for role in (OWNER_ROLE, APP_ROLE, SYSTEM_ROLE):
        await connection.execute(
            text(f"""DO $$ BEGIN
                CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$""")
        )
    missing = await connection.scalars(
        text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles) AND NOT pg_has_role(current_user, oid, 'SET')"),
        {"roles": [OWNER_ROLE, APP_ROLE, SYSTEM_ROLE]},
    )
    for role in missing.all():
        await connection.execute(text(f"GRANT {role} TO CURRENT_USER"))
    may_create = await connection.scalar(
        text("SELECT has_database_privilege(:role, current_database(), 'CREATE')"), {"role": OWNER_ROLE}
    )
    if not may_create:
        database = await connection.scalar(text("SELECT quote_ident(current_database())"))
        await connection.execute(text(f"GRANT CREATE ON DATABASE {database} TO {OWNER_ROLE}"))
    is_member = await connection.scalar(
        text("SELECT pg_has_role(:owner, :system, 'SET')"), {"owner": OWNER_ROLE, "system": SYSTEM_ROLE}
    )
    if not is_member:
        await connection.execute(text(f"GRANT {SYSTEM_ROLE} TO {OWNER_ROLE} WITH INHERIT FALSE, SET TRUE"))


async def _ensure_schema(connection: AsyncConnection, schema: str) -> None:
    exists = await connection.scalar(text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": schema})
    if exists:
        return
    await connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    await connection.execute(text(f'GRANT USAGE ON SCHEMA "{schema}" TO {APP_ROLE}, {SYSTEM_ROLE}'))
    await connection.commit()


async def _drop_unfinished_indexes(connection: AsyncConnection, schema: str) -> None:
    """What a `CREATE INDEX CONCURRENTLY` leaves behind that was killed: no query uses it, each write keeps it up, and
    to `IF NOT EXISTS` it is there. Nobody else migrates now; one that somebody builds by hand is left alone."""
    unfinished = await connection.scalars(
        text("""
            SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
            WHERE NOT indisvalid AND relkind = 'i' AND relnamespace = CAST(:schema AS regnamespace)
              AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE index_relid = indexrelid)
        """),
        {"schema": f'"{schema}"'},
    )
    for index in unfinished.all():
        await connection.execute(text(f"DROP INDEX {index}"))
    await connection.commit()


async def upgrade(
    url: str, sets: Sequence[MigrationSet], *, to: str = "head", say: Callable[[str], None] = lambda _: None
) -> None:
    """Bring each set to `to`. Each revision is a transaction: one that fails leaves those before it in place."""
    async with owner_connection(url) as connection:
        for migration_set in sets:
            await _ensure_schema(connection, migration_set.name)
            before = await connection.run_sync(current_revision, migration_set)
            await connection.commit()
            if to == "head" and before == head_of(migration_set):
                continue
            await _drop_unfinished_indexes(connection, migration_set.name)
            await connection.run_sync(_upgrade, migration_set, to)
            await connection.execute(
                text(f'GRANT SELECT ON "{migration_set.name}".{VERSION_TABLE} TO {APP_ROLE}, {SYSTEM_ROLE}')
            )
            await connection.commit()
            now = await connection.run_sync(current_revision, migration_set)
            say(f"{migration_set.name}: {before or 'nothing'} → {now}")


async def downgrade(url: str, migration_set: MigrationSet, *, to: str) -> None:
    """Take one set back: `to` is a revision, `-1`, or `base`."""
    async with owner_connection(url) as connection:
        await connection.run_sync(_downgrade, migration_set, to)
        await connection.commit()


async def make_revision(url: str, migration_set: MigrationSet, message: str) -> Path:
    """Write the revision that takes the database to what the models say. Returns the new file."""
    async with owner_connection(url) as connection:
        await _ensure_schema(connection, migration_set.name)
        return await connection.run_sync(_revision, migration_set, message)


def _upgrade(connection: Connection, migration_set: MigrationSet, to: str) -> None:
    from alembic import command  # noqa: PLC0415

    command.upgrade(config_of(migration_set, connection), to)


def _downgrade(connection: Connection, migration_set: MigrationSet, to: str) -> None:
    from alembic import command  # noqa: PLC0415

    command.downgrade(config_of(migration_set, connection), to)


def _revision(connection: Connection, migration_set: MigrationSet, message: str) -> Path:
    from alembic import command  # noqa: PLC0415

    migration_set.directory.mkdir(parents=True, exist_ok=True)
    numbers = [
        int(found[1]) for path in migration_set.directory.glob("*.py") if (found := re.match(r"(\d{4})_", path.name))
    ]
    script = command.revision(
        config_of(migration_set, connection),
        message=message,
        autogenerate=True,
        rev_id=f"{max(numbers, default=0) + 1:04}",
    )
    if script is None or isinstance(script, list):
        raise RuntimeError("Alembic wrote no single revision")
    return Path(script.path)


def current_revision(connection: Connection, migration_set: MigrationSet) -> str | None:
    """Where the database stands, without making the version table."""
    exists = connection.scalar(
        text("SELECT to_regclass(:table) IS NOT NULL"), {"table": f'"{migration_set.name}".{VERSION_TABLE}'}
    )
    if not exists:
        return None
    where = f'"{migration_set.name}".{VERSION_TABLE}'
    return connection.scalar(text(f"SELECT version_num FROM {where}"))  # noqa: S608 # a module's own name


def pending_in(connection: Connection, sets: Sequence[MigrationSet]) -> list[Pending]:
    """The sets that are not at their head."""
    states = [Pending(name=s.name, current=current_revision(connection, s), head=head_of(s)) for s in sets]
    return [state for state in states if state.is_pending]
