"""The data test can see: with one wall taken down, it says which."""

from uuid import UUID, uuid4

from sqlalchemy import text

from core.db.database import Database
from core.db.migrations import owner_connection
from core.identity.directory import create_organization
from core.runtime import Runtime
from core.testing.isolation import breaches, breaches_without_tenant, seed
from core.testing.rows import tenant_tables

EVERYTHING = {"sees", "reads by id", "changes", "takes over", "deletes", "adds", "hands over"}
MUTATIONS = {
    "ALTER POLICY tenant ON {table} USING (true) WITH CHECK (true)": EVERYTHING,
    "ALTER POLICY tenant ON {table} WITH CHECK (true)": {"adds", "hands over"},
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY": EVERYTHING,
    "DROP POLICY tenant ON {table}": {f"can't {verb} its own" for verb in ("see", "change", "delete", "add")},
}
"""What is broken, and what one organization can then do with another's rows (or no longer with its own)."""
BROKEN = ("networking.contact_imports", "networking.connections", "networking.score_rules", "networking.saved_views")
"""A table for each. None refers to another tenant table, so that its rows can be taken over and handed over."""
WITHOUT_TENANT = {"sees", "changes", "deletes", "adds"}
"""What can be tried without a tenant."""


async def test_a_wall_that_is_down_is_reported(scratch: Runtime) -> None:
    """Of the table that it is of, and of no other."""
    broken = dict(zip(BROKEN, MUTATIONS.items(), strict=True))
    async with owner_connection(scratch.settings.owner_url) as owner:
        for table, (mutation, _) in broken.items():
            await owner.execute(text(mutation.format(table=table)))
        await owner.commit()

    async with scratch.open_database("mutant") as database:
        found = await all_breaches(database)

    with_tenant = {f"{table}: {breach}" for table, (_, expected) in broken.items() for breach in expected}
    without_tenant = {
        f"{table} without a tenant: {breach}"
        for table, (_, expected) in broken.items()
        for breach in expected & WITHOUT_TENANT
    }
    assert found == with_tenant | without_tenant


async def all_breaches(database: Database) -> set[str]:
    """What the data test would report."""
    first, second = [await organization(database) for _ in range(2)]
    found: set[str] = set()
    for table in tenant_tables():
        mine, theirs = [await seed(database, each, table, mark=str(each)) for each in (first, second)]
        found.update(await breaches(database, table, mine=mine, theirs=theirs))
        found.update(await breaches_without_tenant(database, table, mine))
    return found


async def organization(database: Database) -> UUID:
    slug = uuid4().hex[:12]
    made = await create_organization(
        database,
        name=slug,
        slug=slug,
        owner_email=f"owner@{slug}.example",
        owner_names=("Olu", "Owner"),
        password_hash="none",
    )
    assert made is not None
    return made.organization_id
