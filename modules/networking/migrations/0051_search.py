"""Search that ranks what it finds, reads notes as well, and finds names that were misspelt."""

from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None

WORDS = (
    "to_tsvector('pg_catalog.simple'::regconfig, search_text || ' ' || coalesce(bio, '') || ' ' || coalesce(notes, ''))"
)
FOUND = "TABLE (contact_id uuid, relevance integer, is_deleted boolean, visibility text, owner_id uuid)"
TENANT = "nullif(current_setting('app.organization_id', true), '')::uuid"
SEARCH = f"""
    CREATE FUNCTION networking.search_contacts(patterns text[], whole text, words text) RETURNS {FOUND}
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 100
    AS $$
        SELECT c.id,
            CASE
                WHEN lower(concat_ws(' ', c.first_name, c.last_name)) = whole THEN 400
                WHEN starts_with(lower(concat_ws(' ', c.first_name, c.last_name)), whole)
                  OR starts_with(lower(c.last_name), whole) THEN 300
                WHEN lower(concat_ws(' ', c.first_name, c.last_name)) LIKE ALL (patterns) THEN 200
                ELSE 100
            END,
            c.is_deleted, c.visibility, c.owner_id
        FROM networking.contacts AS c
        WHERE c.organization_id = {TENANT}
          AND c.search_text LIKE patterns[1] AND c.search_text LIKE ALL (patterns)
        UNION ALL
        SELECT c.id, 50, c.is_deleted, c.visibility, c.owner_id
        FROM networking.contacts AS c
        WHERE c.organization_id = {TENANT}
          AND to_tsquery('pg_catalog.simple'::regconfig, words) @@ {WORDS}
          AND NOT c.search_text LIKE ALL (patterns)
    $$
"""
"""Whose name, company, title and address hold every word; and, behind them, who has some of the words in the notes.

Row security keeps the planner from trigrams and word lists, as their operators are not leakproof. This function and the
next see past it: they carry the tenant themselves, and hand out what decides about each row for their caller to ask."""
SPELLING = """
    CREATE FUNCTION networking.spelling(words text[], other text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN
        RETURN (
            SELECT CASE WHEN min(alike) >= 0.45 THEN greatest(1, round(40 * avg(alike))) ELSE 0 END
            FROM (SELECT core.word_similarity(word, other) AS alike FROM unnest(words) AS word) AS each
        );
    END $$
"""
"""How well words fit into a text, from 1 to 40; 0 where one of them does not. Its cost is what keeps the planner to the
trigram index: it takes comparing words for as cheap as comparing numbers, and would rather read every contact."""
SEARCH_ALIKE = f"""
    CREATE FUNCTION networking.search_alike(words text[]) RETURNS {FOUND}
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp ROWS 100
    SET pg_trgm.word_similarity_threshold = 0.45
    AS $$
        SELECT c.id, networking.spelling(words, c.search_text) AS points, c.is_deleted, c.visibility, c.owner_id
        FROM networking.contacts AS c
        WHERE c.organization_id = {TENANT}
          AND words[1] OPERATOR(core.<%) c.search_text
          AND networking.spelling(words, c.search_text) > 0
        ORDER BY points DESC, c.id DESC LIMIT 1000
    $$
"""
"""Who has words that are spelt like these. A letter more, less or other, or two that changed places, leaves about half
of a short word's trigrams."""
FUNCTIONS = {"networking.search_contacts(text[], text, text)": SEARCH, "networking.search_alike(text[])": SEARCH_ALIKE}


def upgrade() -> None:
    op.execute("SELECT core.show_trgm('loads the extension, and with it its settings')")
    for signature in (*FUNCTIONS, "networking.spelling(text[], text)"):
        op.execute(f"DROP FUNCTION IF EXISTS {signature}")
    op.execute(SPELLING)
    for signature, function in FUNCTIONS.items():
        op.execute(function)
        op.own_by_system(signature)
    with op.get_context().autocommit_block():
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_contacts_words ON networking.contacts "
            f"USING gin (organization_id, ({WORDS}))"
        )


def downgrade() -> None:
    op.drop_index("ix_contacts_words", "contacts", schema="networking")
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP FUNCTION networking.spelling(text[], text)")
