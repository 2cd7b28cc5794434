"""Row security on data: in every tenant table, one organization gets nowhere near another's rows."""

from typing import Any

import pytest
from sqlalchemy import Table, insert, text
from sqlalchemy.exc import IntegrityError

from core.db.database import Database
from core.db.tenancy import TenantContext
from core.ids import new_id
from core.testing.isolation import Side, breaches, breaches_without_tenant, seed
from core.testing.rows import ORGANIZATION, Rows, tenant_tables
from core.testing.tenants import Tenant


async def both(database: Database, acme: Tenant, globex: Tenant, table: Table) -> tuple[Side, Side]:
    return (
        await seed(database, acme.organization_id, table, mark="acme"),
        await seed(database, globex.organization_id, table, mark="globex"),
    )


async def test_no_organization_reaches_anothers_rows(database: Database, acme: Tenant, globex: Tenant) -> None:
    found: list[str] = []

    for table in tenant_tables():
        mine, theirs = await both(database, acme, globex, table)
        found += await breaches(database, table, mine=mine, theirs=theirs)

    assert found == []


async def test_without_a_tenant_there_are_no_rows(database: Database, acme: Tenant) -> None:
    found: list[str] = []

    for table in tenant_tables():
        side = await seed(database, acme.organization_id, table, mark="acme")
        found += await breaches_without_tenant(database, table, side)

    assert found == []


def references_between_tenant_tables() -> list[tuple[Table, str, Table]]:
    """Each table, the column with which it refers to another tenant table, and that table."""
    return [
        (table, element.parent.name, reference.referred_table)
        for table in tenant_tables()
        for reference in table.foreign_key_constraints
        for element in reference.elements
        if reference.referred_table in tenant_tables() and element.parent.name != ORGANIZATION
    ]


async def written(database: Database, *made: Rows) -> None:
    async with database.system() as system:
        for rows in made:
            await rows.write(system)


async def test_a_row_can_not_hang_on_another_organizations_row(
    database: Database, acme: Tenant, globex: Tenant
) -> None:
    """And the refusal is the one for a row that doesn't exist: PostgreSQL checks foreign keys past row security."""
    context = TenantContext(organization_id=acme.organization_id)
    references = references_between_tenant_tables()
    assert references != []

    for table, column, parent in references:
        in_globex, in_acme = Rows(globex.organization_id, mark="globex"), Rows(acme.organization_id, mark="acme")
        theirs, values = in_globex.add(parent), in_acme.values(table)
        await written(database, in_globex, in_acme)
        for referred in (theirs["id"], new_id()):
            async with database.session(context) as session:
                with pytest.raises(IntegrityError, match="ForeignKeyViolation"):
                    await session.execute(insert(table).values(values | {column: referred}))


async def test_the_duplicate_search_finds_only_ones_own(database: Database, acme: Tenant, globex: Tenant) -> None:
    """It sees past row security as well: the same address in two organizations is nobody's business."""
    contacts = next(table for table in tenant_tables() if table.fullname == "networking.contacts")
    shared: dict[str, Any] = {
        "email": "same@example.com",
        "additional_emails": ["other@example.com"],
        "phone_e164": "+442079460018",
        "linkedin_key": "in/same",
    }
    made = {t.organization_id: Rows(t.organization_id, mark="same") for t in (acme, globex)}
    rows = {organization_id: each.add(contacts, **shared) for organization_id, each in made.items()}
    await written(database, *made.values())
    search = text("SELECT contact_id FROM networking.find_matches(:ids, :emails, :phones, :profiles)")
    sought = {
        "ids": [row["id"] for row in rows.values()],
        "emails": ["same@example.com", "other@example.com"],
        "phones": ["+442079460018"],
        "profiles": ["in/same"],
    }

    for organization_id, row in rows.items():
        async with database.session(TenantContext(organization_id=organization_id)) as session:
            assert list(await session.scalars(search, sought)) == [row["id"]] * 5


async def test_the_search_function_finds_only_ones_own(database: Database, acme: Tenant, globex: Tenant) -> None:
    """It sees past row security, so it has to carry the tenant itself."""
    contacts = next(table for table in tenant_tables() if table.fullname == "networking.contacts")
    search = text("SELECT networking.find_contacts(ARRAY['%sought%'])")
    made = {t.organization_id: Rows(t.organization_id, mark="sought") for t in (acme, globex)}
    rows = {organization_id: each.add(contacts) for organization_id, each in made.items()}
    await written(database, *made.values())

    for organization_id, row in rows.items():
        async with database.session(TenantContext(organization_id=organization_id)) as session:
            assert list(await session.scalars(search)) == [row["id"]]
