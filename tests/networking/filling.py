"""Contacts by the thousand, for tests of how they are found."""

import asyncpg

from core.testing.tenants import Tenant


async def fill(tenant: Tenant, insertion: str, *values: object) -> None:
    """Run `insertion`, whose `$1` is the organization, and have PostgreSQL look at what is there now.

    It also sorts it in, as it does by itself sooner or later: while many rows wait to be put into a GIN index, the
    planner may well think it cheaper to read the table.
    No trigger fires, which takes half of the time: the trail has nothing of these rows, nor have their stages.
    """
    connection = await asyncpg.connect(tenant.application.runtime.settings.database_url)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(insertion, tenant.organization_id, *values)
        await connection.execute("VACUUM ANALYZE networking.contacts")
    finally:
        await connection.close()
