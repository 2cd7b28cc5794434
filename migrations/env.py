"""The shared Alembic environment. `core.db.migrations` calls it with a connection and one module's migration set."""

from typing import Any, cast

from advanced_alchemy.types import DateTimeUTC
from alembic import context
from sqlalchemy import Connection

from core.db.migrations import MigrationSet, comparison_of
from core.db.operations import guard_new_tenant_tables
from core.db.types import Xid8


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
        **comparison_of(migration_set),
        render_item=_render,
        process_revision_directives=guard_new_tenant_tables,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
