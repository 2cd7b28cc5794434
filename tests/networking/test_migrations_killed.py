"""A migration that was killed while it made an index is simply run again."""

from sqlalchemy import text

from core.db.migrations import downgrade, owner_connection, upgrade
from core.runtime import Runtime

INDEXES = text(
    "SELECT indexrelid::regclass::text, indisvalid, pg_get_indexdef(indexrelid) FROM pg_index "
    "WHERE indrelid = 'networking.contacts'::regclass ORDER BY 1"
)
LEFT_BEHIND = (
    "ALTER TABLE networking.contacts ADD COLUMN industry_key text GENERATED ALWAYS AS "
    r"(lower(btrim(regexp_replace(industry, '\s+'::text, ' '::text, 'g'::text)))) STORED",
    "CREATE INDEX ix_contacts_industry_key ON networking.contacts (organization_id, industry)",
    "CREATE INDEX ix_contacts_address_partial ON networking.contacts (organization_id, phone)",
)


async def indexes(runtime: Runtime) -> list[tuple[object, ...]]:
    async with owner_connection(runtime.settings.owner_url) as owner:
        return [tuple(row) for row in await owner.execute(INDEXES)]


async def test_what_a_killed_migration_left_behind_is_made_anew(scratch: Runtime) -> None:
    fresh = await indexes(scratch)
    [networking] = [each for each in scratch.migration_sets if each.name == "networking"]
    await downgrade(scratch.settings.owner_url, networking, to="0070")
    async with owner_connection(scratch.settings.owner_url) as owner:
        for statement in LEFT_BEHIND:
            await owner.execute(text(statement))
        await owner.commit()

    await upgrade(scratch.settings.owner_url, scratch.migration_sets)

    assert await indexes(scratch) == fresh
