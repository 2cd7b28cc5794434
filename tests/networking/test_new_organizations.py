"""An organization that PostgreSQL's statistics don't know yet is read by its keys, like any other."""

from sqlalchemy import text

from core.db.migrations import owner_connection
from core.settings import Settings
from core.testing.tenants import Tenant

MANY = 2_000
FILL = """
    INSERT INTO networking.contacts (organization_id, id, first_name, contact_type, status, priority, created_at)
    SELECT :tenant, gen_random_uuid(), 'C' || n, 'target', 'new_client', 'low', now()
    FROM generate_series(1, :many) AS n
"""
FETCHED = "SELECT coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_all_tables WHERE relid = 'networking.contacts'::regclass"
ONE = "SELECT id FROM networking.contacts WHERE organization_id = :tenant AND id = :id"


async def fill(settings: Settings, known: Tenant) -> None:
    async with known.database.system() as system:
        await system.execute(text(FILL), {"tenant": known.organization_id, "many": MANY})
        await system.commit()
    async with owner_connection(settings.owner_url) as owner:
        await owner.execute(text("ANALYZE networking.contacts"))
        await owner.commit()


async def test_of_many_new_contacts_none_reads_the_others(settings: Settings, acme: Tenant, globex: Tenant) -> None:
    """The foreign keys of what refers to them, such as their stages, are looked up by key."""
    await fill(settings, acme)
    async with globex.database.system() as system:
        before = (await system.scalars(text(FETCHED))).one()
        await system.execute(text(FILL), {"tenant": globex.organization_id, "many": MANY})

        assert (await system.scalars(text(FETCHED))).one() - before < 3 * MANY


async def test_one_contact_is_read_by_its_key(settings: Settings, acme: Tenant, globex: Tenant) -> None:
    await fill(settings, acme)
    added = await globex.client.post("/api/v1/networking/contacts", json={"first_name": "Ada"})
    async with globex.database.system() as system:
        await system.execute(text(FILL), {"tenant": globex.organization_id, "many": MANY})
        await system.commit()
    async with globex.database.system() as system:
        before = (await system.scalars(text(FETCHED))).one()
        for _ in range(10):  # after five, PostgreSQL may decide on another plan
            await system.execute(text(ONE), {"tenant": globex.organization_id, "id": added.json()["id"]})

        assert (await system.scalars(text(FETCHED))).one() - before <= 10


WHOLE = """
    SELECT i.indexrelid::regclass::text
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am m ON m.oid = (
        SELECT relam FROM pg_class WHERE oid = i.indexrelid
    )
    WHERE m.amname = 'btree' AND NOT i.indisunique AND i.indpred IS NULL
      AND t.oid IN (SELECT confrelid FROM pg_constraint WHERE contype = 'f')
      AND i.indkey[0] = (
        SELECT attnum FROM pg_attribute WHERE attrelid = t.oid AND attname = 'organization_id'
      )
"""
FEW_ROWS = {"networking.ix_contact_imports_created"}
"""Of tables of which an organization has so few rows that reading them all is nothing."""


async def test_of_the_indexes_of_what_others_refer_to_only_keys_are_whole(acme: Tenant) -> None:
    async with acme.database.system() as system:
        whole = set(await system.scalars(text(WHOLE)))

    assert whole == FEW_ROWS
