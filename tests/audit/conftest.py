"""The trail as tests look at it, and the superuser who would like to change it."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from core.audit.models import AuditLog
from core.audit.sealing import Sealer
from core.audit.verifying import Verifier
from core.db.database import Database, connect
from core.db.tenancy import Acting, TenantConnection
from core.ids import new_id
from core.settings import Settings
from core.testing.tenants import Tenant

CONTACTS = "/api/v1/networking/contacts"
AUDIT = "/api/v1/audit"


def somebody() -> Acting:
    """Somebody of whom everything is known."""
    return Acting(
        user_id=new_id(),
        impersonator_id=new_id(),
        api_key_id=new_id(),
        address="203.0.113.9",
        correlation_id=f"test-{new_id().hex}",
        job_id=new_id(),
        job_name="tests.act",
    )


def who(entry: AuditLog) -> Acting:
    """Who acted, as the entry tells it."""
    told = {name: getattr(entry, name) for name in Acting.__struct_fields__}
    return Acting(**told | {"correlation_id": told["correlation_id"] or ""})


async def entries(database: Database, **wanted: Any) -> Sequence[AuditLog]:
    """Entries of any organization with these values, in the order in which they were written."""
    async with database.system() as system:
        found = await system.scalars(select(AuditLog).filter_by(**wanted).order_by(AuditLog.xid, AuditLog.sequence))
        return found.all()


async def trail_of(tenant: Tenant, record_id: UUID | str, **wanted: Any) -> list[tuple[str, Any, Any]]:
    """What happened to one row: action, old values, new values."""
    record = UUID(str(record_id))
    found = await entries(tenant.database, organization_id=tenant.organization_id, record_id=record, **wanted)
    return [(entry.action, entry.old_values, entry.new_values) for entry in found]


async def add_contact(tenant: Tenant, **values: Any) -> str:
    answer = await tenant.client.post(CONTACTS, json={"first_name": "Ada", **values})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture
def sealer(database: Database, settings: Settings) -> Sealer:
    return Sealer(database, settings.wrapping_keys)


@pytest.fixture
def verifier(database: Database, settings: Settings) -> Verifier:
    return Verifier(database, settings.wrapping_keys)


@pytest.fixture
async def superuser(settings: Settings) -> AsyncGenerator[TenantConnection]:
    """Row security, grants and triggers hold nobody less."""
    connection = await connect(settings.owner_url, role=None, name="superuser")
    assert await connection.fetchval("SELECT usesuper FROM pg_user WHERE usename = current_user")
    yield connection
    await connection.close()
