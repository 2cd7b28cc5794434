"""The shared Alembic environment. `core.db.migrations` calls it with a connection and one module's migration set."""

from typing import Any, cast

from advanced_alchemy.types import DateTimeUTC
from alembic import context
from sqlalchemy import Connection

from core.db.migrations import VERSION_TABLE, MigrationSet
from core.db.models import Base
from core.db.operations import guard_new_tenant_tables
from core.db.types import Xid8


def _concerns(schema: str) -> Any:
    """Autogenerate sees one module's schema and nothing else, whatever other models are imported."""

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        return name == schema if kind == "schema" else parents.get("schema_name", schema) == schema

    return include_name


def _include_object(schema: str) -> Any:
    def include_object(obj: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
        return not (kind == "table" and (obj.schema != schema or name == VERSION_TABLE))

    return include_object


def _render(kind: str, obj: Any, autogenerate: Any) -> Any:
    """Revisions name plain column types, so that they still run when our own types have moved."""
    if kind == "type" and isinstance(obj, DateTimeUTC):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(obj, Xid8):
        autogenerate.imports.add("from core.db.types import Xid8")
        return "Xid8()"
    return False


def run() -> None:
    migration_set = cast("MigrationSet", context.config.attributes["migration_set"])
    connection = cast("Connection", context.config.attributes["connection"])
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        version_table_schema=migration_set.name,
        include_schemas=True,
        include_name=_concerns(migration_set.name),
        include_object=_include_object(migration_set.name),
        render_item=_render,
        process_revision_directives=guard_new_tenant_tables,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
