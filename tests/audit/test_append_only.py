"""The trail only grows: nobody who serves requests can change it, and what it says of others can't be made up."""

from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from core.audit.sealing import Sealer
from core.db.database import connect
from core.db.tenancy import APP_ROLE, SYSTEM_ROLE, TenantContext
from core.ids import new_id
from core.settings import Settings
from core.testing.tenants import Tenant
from core.testing.waiting import until
from tests.audit.conftest import add_contact, entries

ENTRY = (
    "INSERT INTO core.audit_logs (organization_id, table_name, record_id, action) "
    "VALUES ('{tenant}', 'networking.contacts', gen_random_uuid(), 'delete')"
)
SEAL = (
    "INSERT INTO core.audit_seals (organization_id, number, through_sequence, entries, key_name, hash) "
    "VALUES ('{tenant}', 1, 1, 1, 'forged', '')"
)
CHANGES = [
    f"{change} core.{table}{rest}"
    for table in ("audit_logs", "audit_seals")
    for change, rest in (
        ("UPDATE", " SET created_at = now()"),
        ("DELETE FROM", ""),
        ("TRUNCATE", ""),
        ("ALTER TABLE", " DISABLE TRIGGER ALL"),
    )
]
"""The system role may delete the trail of an organization whose grace is over, with all else of it, and no other."""
FORGERIES = [
    ENTRY,
    SEAL,
    "ALTER TABLE networking.contacts DISABLE TRIGGER audit_update",
    "DROP TRIGGER audit_delete ON networking.contacts",
    "CREATE OR REPLACE FUNCTION core.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "LOCK TABLE core.audit_logs",
    "LOCK TABLE core.audit_seals",
    "SET session_replication_role = replica",
    "CREATE TEMP TABLE contacts (organization_id uuid, id uuid); CREATE TRIGGER t AFTER INSERT ON contacts "
    "REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION core.audit('tenant', '{}', '{}')",
]


async def attempt(settings: Settings, tenant: Tenant, role: str, statement: str) -> Any:
    connection = await connect(settings.database_url, role=role, name="forger")
    connection.enter(TenantContext(organization_id=tenant.organization_id))
    try:
        async with connection.transaction():
            return await connection.execute(statement.replace("{tenant}", str(tenant.organization_id)))
    finally:
        await connection.close()


@pytest.mark.parametrize("role", [APP_ROLE, SYSTEM_ROLE])
@pytest.mark.parametrize("change", CHANGES)
async def test_no_serving_role_changes_the_trail(
    settings: Settings, acme: Tenant, sealer: Sealer, role: str, change: str
) -> None:
    await add_contact(acme)
    await until(sealer.seal, within=5)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await attempt(settings, acme, role, change)


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_the_application_can_neither_add_to_the_trail_nor_go_past_it(
    settings: Settings, acme: Tenant, forgery: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await attempt(settings, acme, APP_ROLE, forgery)


async def test_a_read_is_noted_in_ones_own_trail_alone(settings: Settings, acme: Tenant) -> None:
    """The one thing that the application adds by itself; without a tenant not even that."""
    record = new_id()
    await attempt(settings, acme, APP_ROLE, f"SELECT core.note_access('networking.contacts', '{record}', '{{}}')")
    connection = await connect(settings.database_url, role=APP_ROLE, name="forger")

    with pytest.raises(asyncpg.NotNullViolationError):
        await connection.execute(f"SELECT core.note_access('networking.contacts', '{record}', '{{}}')")

    await connection.close()
    (noted,) = await entries(acme.database, record_id=record)
    assert (noted.organization_id, noted.action, noted.new_values) == (acme.organization_id, "read", None)


async def test_the_application_sees_its_own_tenants_trail_alone(acme: Tenant, globex: Tenant) -> None:
    await add_contact(globex)

    async with acme.database.session(TenantContext(organization_id=acme.organization_id)) as session:
        seen = await session.execute(text("SELECT DISTINCT organization_id FROM core.audit_logs"))

    assert [row[0] for row in seen] == [acme.organization_id]
