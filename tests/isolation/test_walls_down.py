"""The catalogue's checks can see: with one wall of one table down, they name it."""

from collections.abc import AsyncGenerator

import pytest

from core.db.database import connect
from core.db.tenancy import TenantConnection
from core.runtime import Runtime
from core.testing.catalogue import definer_faults, definer_functions, table_faults, unguardable

TABLE = "networking.contact_imports"
MUTATIONS = {
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY": "is not under forced row security",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY": "is not under forced row security",
    "DROP POLICY tenant ON {table}; ALTER TABLE {table} DROP organization_id CASCADE": "has no organization_id",
    "DROP POLICY tenant ON {table}": "has other policies",
    "DROP POLICY system ON {table}": "has other policies",
    "ALTER POLICY tenant ON {table} WITH CHECK (true)": "has other policies",
    "CREATE POLICY more ON {table} TO plugs_app USING (true)": "has other policies",
    "GRANT TRUNCATE ON {table} TO plugs_app": "TRUNCATE",
    "GRANT SELECT ON {table} TO PUBLIC": "PUBLIC may SELECT",
    "REVOKE INSERT ON {table} FROM plugs_app": "plugs_app may DELETE, SELECT, UPDATE on",
    "GRANT SELECT ON {table} TO plugs_app WITH GRANT OPTION": "SELECT*",
    "CREATE UNIQUE INDEX one_file ON {table} (id, file_name)": "one_file is a key of",
    "DROP TRIGGER audit_update ON {table}": "audit trail",
    "ALTER TABLE {table} DISABLE TRIGGER audit_insert": "audit trail",
    "ALTER TABLE {table} DROP CONSTRAINT pk_contact_imports CASCADE": "has no primary key",
    "ALTER TABLE {table} ADD UNIQUE (id); CREATE TABLE networking.loose (id uuid REFERENCES {table} (id))": (
        "loose_id_fkey refers to networking.contact_imports without the tenant"
    ),
}
"""What is broken, and some of the words in which it is told."""
SHOWN = {
    "CREATE VIEW networking.shown AS SELECT * FROM {table}": "is a view without security_invoker",
    "CREATE MATERIALIZED VIEW networking.shown AS SELECT * FROM {table}": "can't have row security",
}
PEEK = "networking.peek()"
SAFE = "SET search_path = pg_catalog, pg_temp"


@pytest.fixture
async def broken(runtime: Runtime) -> AsyncGenerator[TenantConnection]:
    """A transaction in which a wall can be taken down; nothing of it stays."""
    connection = await connect(runtime.settings.owner_url, role=None, name="walls")
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def test_walls_that_stand_are_not_complained_of(broken: TenantConnection) -> None:
    assert await table_faults(broken, {TABLE}) == []
    assert await unguardable(broken) == []


@pytest.mark.parametrize(("mutation", "words"), MUTATIONS.items())
async def test_a_wall_that_is_down_is_named(broken: TenantConnection, mutation: str, words: str) -> None:
    await broken.execute(mutation.format(table=TABLE))

    found = await table_faults(broken, {TABLE})

    assert any(words in fault and TABLE in fault for fault in found), found


@pytest.mark.parametrize(("mutation", "words"), SHOWN.items())
async def test_what_shows_rows_past_row_security_is_named(broken: TenantConnection, mutation: str, words: str) -> None:
    await broken.execute(mutation.format(table=TABLE))

    assert await unguardable(broken) == [f"networking.shown {words}"]


@pytest.mark.parametrize(
    ("options", "callers", "allowed", "words"),
    [
        (SAFE, "plugs_app", (), "exempt it by name"),
        ("", "plugs_app", (PEEK,), "search_path"),
        (SAFE, "PUBLIC", (PEEK,), "callable by plugs_app alone"),
    ],
)
async def test_a_function_that_sees_past_row_security_is_exempted_by_name_and_held_to_rules(
    broken: TenantConnection, options: str, callers: str, allowed: tuple[str, ...], words: str
) -> None:
    await broken.execute(
        f"CREATE FUNCTION {PEEK} RETURNS int LANGUAGE sql SECURITY DEFINER {options} AS 'SELECT 1';"
        f"REVOKE ALL ON FUNCTION {PEEK} FROM PUBLIC; GRANT EXECUTE ON FUNCTION {PEEK} TO {callers}"
    )
    rows = [row for row in await definer_functions(broken) if row["name"] == PEEK]

    (fault,) = definer_faults(rows, dict.fromkeys(allowed, "plugs_app"))

    assert words in fault
