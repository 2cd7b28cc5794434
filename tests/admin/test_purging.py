"""After the grace nothing of an organization is left, in whatever table, and everybody else's is as it was."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, select, text

from core.admin.purging import Purger
from core.app import create_app
from core.audit.sealing import Sealer
from core.db.database import Database
from core.db.migrations import owner_connection
from core.db.models import Base
from core.db.tenancy import guard_table
from core.identity.models import Organization, User
from core.ids import new_id
from core.runtime import Runtime
from core.settings import Settings
from core.testing.rows import ORGANIZATION, Rows, tenant_tables
from core.testing.tenants import Tenant, make_operator, make_tenant, running
from core.testing.waiting import until
from tests.admin.conftest import ask, organization_url

ROWS_EACH = 3
LEFT_ON_PURPOSE = {"core.impersonations"}
"""What operators did is the platform's own record."""


async def furnish(tenant: Tenant) -> None:
    """Rows in every tenant table."""
    rows = Rows(tenant.organization_id, mark="to be purged")
    for table in tenant_tables():
        for _ in range(ROWS_EACH):
            rows.add(table)
    async with tenant.database.system() as system:
        await rows.write(system)


async def end(operator: Tenant, tenant: Tenant) -> None:
    """Delete it, and let its grace be over."""
    for how, status in (("deletion", 200), ("purge", 202)):
        await ask(operator, "POST", organization_url(tenant, f"/{how}"), status=status, json={"slug": tenant.slug})


async def left(tenant: Tenant) -> dict[str, int]:
    """How many rows name the organization, in any table."""
    async with tenant.database.system() as system:
        counts = {
            table.fullname: await system.scalar(
                select(func.count()).select_from(table).where(table.c[ORGANIZATION] == tenant.organization_id)
            )
            for table in Base.metadata.sorted_tables
            if ORGANIZATION in table.c
        }
    return {name: count for name, count in counts.items() if count and name not in LEFT_ON_PURPOSE}


async def tombstone(tenant: Tenant) -> Organization:
    async with tenant.database.system() as system:
        return await system.get_one(Organization, tenant.organization_id)


async def test_nothing_is_left_and_everybody_elses_is_as_it_was(
    operator: Tenant, acme: Tenant, globex: Tenant, database: Database, settings: Settings
) -> None:
    await furnish(acme)
    await furnish(globex)
    await Sealer(database, settings.wrapping_keys).seal()
    await end(operator, acme)
    before, others = await left(acme), await left(globex)

    purged = await Purger(database, batch=2).purge_due()

    tenants_own = {table.fullname for table in tenant_tables()}
    assert set(before) >= tenants_own
    assert acme.organization_id in purged
    assert await left(acme) == {}
    assert await left(globex) == others
    assert (await globex.client.get("/api/v1/users/me")).status_code == 200


async def test_the_tombstone_says_what_is_gone_and_no_more(operator: Tenant, acme: Tenant, database: Database) -> None:
    await furnish(acme)
    await end(operator, acme)
    contacts = (await left(acme))["networking.contacts"]

    await Purger(database).purge_due()

    stone = await tombstone(acme)
    told = await ask(operator, "GET", organization_url(acme))
    assert (stone.name, stone.slug, stone.settings) == ("", str(acme.organization_id), {})
    assert stone.purged_rows is not None
    assert stone.purged_rows["networking.contacts"] == contacts >= ROWS_EACH
    assert (told["state"], told["members"]) == ("purged", 0)


async def test_the_short_name_is_free_again_and_the_people_stay(
    operator: Tenant, acme: Tenant, database: Database
) -> None:
    await end(operator, acme)
    await Purger(database).purge_due()

    data = {"name": "Again", "slug": acme.slug, "owner_email": "again@example.com"}
    made = await operator.client.post("/api/v1/admin/organizations", json=data)

    async with database.system() as system:
        person = await system.get_one(User, acme.user_id)
    assert made.status_code == 201
    assert (person.email, person.organization_id) == (acme.email, None)


async def test_in_the_grace_nothing_goes(operator: Tenant, acme: Tenant, database: Database) -> None:
    await furnish(acme)
    await ask(operator, "POST", organization_url(acme, "/deletion"), json={"slug": acme.slug})
    before = await left(acme)

    purged = await Purger(database).purge_due()

    assert acme.organization_id not in purged
    assert await left(acme) == before
    assert (await ask(operator, "POST", organization_url(acme, "/restore")))["state"] == "active"


async def has_begun(tenant: Tenant) -> bool:
    return bool((await tombstone(tenant)).purged_rows)


async def test_a_purge_that_was_cut_short_is_taken_up_and_counts_each_row_once(
    operator: Tenant, acme: Tenant, database: Database
) -> None:
    await furnish(acme)
    await end(operator, acme)
    contacts = (await left(acme))["networking.contacts"]
    cut = asyncio.create_task(Purger(database, batch=1).purge_due())
    await until(lambda: has_begun(acme), within=10)
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    half = await left(acme)

    purged = await Purger(database, batch=1).purge_due()

    counts = (await tombstone(acme)).purged_rows or {}
    assert half != {}
    assert purged == [acme.organization_id]
    assert await left(acme) == {}
    assert counts["networking.contacts"] == contacts


async def test_of_several_workers_one_purges(operator: Tenant, acme: Tenant, database: Database) -> None:
    await furnish(acme)
    await end(operator, acme)
    contacts = (await left(acme))["networking.contacts"]

    runs = await asyncio.gather(*(Purger(database, batch=1).purge_due() for _ in range(3)))
    runs.append(await Purger(database).purge_due())

    counts = (await tombstone(acme)).purged_rows or {}
    assert sum(run.count(acme.organization_id) for run in runs) == 1
    assert (await left(acme), counts["networking.contacts"]) == ({}, contacts)


async def test_what_a_module_left_behind_that_is_gone_is_purged_too(scratch: Runtime) -> None:
    """No model and no line of its code is there any more."""
    async with owner_connection(scratch.settings.owner_url) as owner:
        for statement in (
            "CREATE SCHEMA gone",
            "GRANT USAGE ON SCHEMA gone TO plugs_system, plugs_app",
            "CREATE TABLE gone.parents (organization_id uuid, id uuid, PRIMARY KEY (organization_id, id))",
            'CREATE TABLE gone."Odd Children" (organization_id uuid, "Its Id" uuid, parent uuid, '
            'PRIMARY KEY (organization_id, "Its Id"), '
            "FOREIGN KEY (organization_id, parent) REFERENCES gone.parents (organization_id, id))",
            *guard_table("gone.parents"),
            *guard_table('gone."Odd Children"'),
        ):
            await owner.execute(text(statement))
        await owner.commit()

    async with running(create_app(scratch)) as application:
        acme, globex = await make_tenant(application), await make_tenant(application)
        for tenant in (acme, globex):
            await add_family(tenant)
        await end(await make_operator(globex), acme)

        purged = await Purger(acme.database).purge_due()

        async with acme.database.system() as system:
            owners = await system.scalars(text('SELECT organization_id FROM gone."Odd Children"'))
            parents = await system.scalars(text("SELECT organization_id FROM gone.parents"))
            remaining: list[Any] = [*owners, *parents]
    assert purged == [acme.organization_id]
    assert remaining == [globex.organization_id] * 2


async def add_family(tenant: Tenant) -> None:
    values = {"organization": tenant.organization_id, "parent": new_id(), "child": new_id()}
    async with tenant.database.system() as system:
        await system.execute(text("INSERT INTO gone.parents VALUES (:organization, :parent)"), values)
        await system.execute(text('INSERT INTO gone."Odd Children" VALUES (:organization, :child, :parent)'), values)


async def test_the_workers_chores_purge(runtime: Runtime, operator: Tenant, acme: Tenant, database: Database) -> None:
    await end(operator, acme)
    chore = next(chore for chore in runtime.chores(database) if chore.name == "purge-organizations")

    await chore.work()

    assert await left(acme) == {}
