"""Contacts that may be one person: whose names are alike, and who is known to be two people."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LIKENESS = """
    CREATE FUNCTION networking.likeness(one text, other text) RETURNS real
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 SET search_path = pg_catalog, pg_temp
    AS $$ BEGIN RETURN core.similarity(one, other); END $$
"""
"""Trigrams at what they cost. PostgreSQL takes comparing words for as cheap as comparing numbers, and would rather
compare the name with every contact's (360 ms in 60,000 rows) than ask the trigram index (7 ms)."""
FIND_SIMILAR = """
    CREATE FUNCTION networking.find_similar(ids uuid[])
    RETURNS TABLE (contact_id uuid, other_id uuid, name real, company real)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        WITH tenant AS MATERIALIZED (
            SELECT nullif(current_setting('app.organization_id', true), '')::uuid AS id
        ), sought AS MATERIALIZED (
            SELECT c.id, lower(concat_ws(' ', c.first_name, c.last_name)) AS name, lower(c.company) AS company
            FROM tenant, unnest(ids) AS wanted, LATERAL (
                SELECT * FROM networking.contacts
                WHERE organization_id = tenant.id AND id = wanted AND NOT is_deleted OFFSET 0
            ) AS c
        )
        SELECT sought.id, likely.id, likely.name, core.similarity(sought.company, likely.company)
        FROM tenant, sought, LATERAL (
            SELECT o.id, lower(o.company) AS company,
                   core.similarity(sought.name, lower(concat_ws(' ', o.first_name, o.last_name))) AS name
            FROM networking.contacts AS o
            WHERE o.organization_id = tenant.id AND sought.name OPERATOR(core.<%) o.search_text
              AND networking.likeness(sought.name, lower(concat_ws(' ', o.first_name, o.last_name))) >= 0.5
              AND NOT o.is_deleted AND o.id <> sought.id
            ORDER BY name DESC, o.id LIMIT 20
        ) AS likely
    $$
"""
"""The trigram index finds whose text holds something like the name; row security keeps the planner from it, as its
operators are not leakproof, so this function sees past row security and carries the tenant itself."""


def upgrade() -> None:
    op.create_table(
        "duplicate_pairs",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("second_id", sa.Uuid(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("is_dismissed", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dismissed_by", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("tier IN ('exact', 'fuzzy')", name=op.f("ck_duplicate_pairs_tier")),
        *(
            sa.ForeignKeyConstraint(
                ["organization_id", column],
                ["networking.contacts.organization_id", "networking.contacts.id"],
                name=op.f(f"fk_duplicate_pairs_organization_id_{column}"),
                ondelete="CASCADE",
            )
            for column in ("first_id", "second_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_duplicate_pairs")),
        sa.UniqueConstraint(
            "organization_id",
            "first_id",
            "second_id",
            name=op.f("uq_duplicate_pairs_organization_id_first_id_second_id"),
        ),
        schema="networking",
    )
    op.guard_tenant_table("networking.duplicate_pairs", audited=False)
    op.create_index(
        "ix_duplicate_pairs_second", "duplicate_pairs", ["organization_id", "second_id"], schema="networking"
    )
    op.create_index(
        "ix_duplicate_pairs_score",
        "duplicate_pairs",
        ["organization_id", "score", "id"],
        schema="networking",
        postgresql_where=sa.text("NOT is_dismissed"),
    )
    op.execute(LIKENESS)
    op.execute(FIND_SIMILAR)
    op.own_by_system("networking.find_similar(uuid[])")


def downgrade() -> None:
    op.execute("DROP FUNCTION networking.find_similar(uuid[])")
    op.execute("DROP FUNCTION networking.likeness(text, text)")
    op.drop_table("duplicate_pairs", schema="networking")
