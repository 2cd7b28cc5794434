"""What identifies a contact: all its addresses, its number and its profile; consent; and what it was merged into."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FIND_MATCHES = """
    CREATE FUNCTION networking.find_matches(ids uuid[], emails text[], phones text[], profiles text[])
    RETURNS TABLE (kind text, value text, contact_id uuid, is_deleted boolean)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        WITH RECURSIVE tenant AS MATERIALIZED (
            SELECT nullif(current_setting('app.organization_id', true), '')::uuid AS id
        ), found AS (
            SELECT 'id' AS kind, sought::text AS value, c.id, c.is_deleted, c.merged_into
            FROM tenant, unnest(ids) AS sought, LATERAL (
                SELECT id, is_deleted, merged_into FROM networking.contacts
                WHERE organization_id = tenant.id AND id = sought OFFSET 0
            ) AS c
            UNION ALL
            SELECT 'email', sought, c.id, c.is_deleted, c.merged_into
            FROM tenant, unnest(emails) AS sought, LATERAL (
                SELECT id, is_deleted, merged_into FROM networking.contacts
                WHERE organization_id = tenant.id AND email = sought OFFSET 0
            ) AS c
            UNION ALL
            SELECT 'email', address, c.id, c.is_deleted, c.merged_into
            FROM networking.contacts AS c, unnest(c.additional_emails) AS address
            WHERE c.organization_id = (SELECT id FROM tenant) AND c.additional_emails <> '{}'
              AND c.additional_emails && emails AND address = ANY (emails)
            UNION ALL
            SELECT 'phone', sought, c.id, c.is_deleted, c.merged_into
            FROM tenant, unnest(phones) AS sought, LATERAL (
                SELECT id, is_deleted, merged_into FROM networking.contacts
                WHERE organization_id = tenant.id AND phone_e164 = sought OFFSET 0
            ) AS c
            UNION ALL
            SELECT 'linkedin', sought, c.id, c.is_deleted, c.merged_into
            FROM tenant, unnest(profiles) AS sought, LATERAL (
                SELECT id, is_deleted, merged_into FROM networking.contacts
                WHERE organization_id = tenant.id AND linkedin_key = sought OFFSET 0
            ) AS c
            UNION ALL
            SELECT found.kind, found.value, c.id, c.is_deleted, c.merged_into
            FROM tenant, found, LATERAL (
                SELECT id, is_deleted, merged_into FROM networking.contacts
                WHERE organization_id = tenant.id AND id = found.merged_into OFFSET 0
            ) AS c
            WHERE found.merged_into IS NOT NULL
        )
        SELECT DISTINCT found.kind, found.value, found.id, found.is_deleted FROM found
        WHERE found.merged_into IS NULL
    $$
"""
"""Who has these addresses, numbers and profiles, by way of what was merged into whom. Row security keeps the planner
from the index of additional addresses, as its operators are not leakproof; this function sees past row security and so
carries the tenant itself. `OFFSET 0` has each value looked up in its index by itself: while an import fills a table
that its statistics take for empty, the planner would rather read all of it."""
INDEXES = {
    "ix_contacts_address": (["email"], {}),
    "ix_contacts_phone": (["phone_e164"], {"postgresql_where": sa.text("phone_e164 IS NOT NULL")}),
    "ix_contacts_linkedin": (["linkedin_key"], {"postgresql_where": sa.text("linkedin_key IS NOT NULL")}),
    "ix_contacts_merged": (["merged_into"], {"postgresql_where": sa.text("merged_into IS NOT NULL")}),
    "ix_contacts_additional_emails": (
        ["additional_emails"],
        {"postgresql_using": "gin", "postgresql_where": sa.text("additional_emails <> '{}'")},
    ),
}


def upgrade() -> None:
    for column in (
        sa.Column("phone_e164", sa.Text(), nullable=True),
        sa.Column("linkedin_key", sa.Text(), nullable=True),
        sa.Column("merged_into", sa.Uuid(), nullable=True),
        sa.Column("additional_emails", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("marketing_consent", sa.Text(), server_default="unknown", nullable=False),
    ):
        op.add_column("contacts", column, schema="networking", if_not_exists=True)
    for name in ("ck_contacts_marketing_consent", "fk_contacts_organization_id_merged_into"):
        op.execute(f"ALTER TABLE networking.contacts DROP CONSTRAINT IF EXISTS {name}")
    op.execute(
        "ALTER TABLE networking.contacts ADD CONSTRAINT ck_contacts_marketing_consent "
        "CHECK (marketing_consent IN ('granted', 'unknown', 'withdrawn')) NOT VALID"
    )
    op.execute(
        "ALTER TABLE networking.contacts ADD CONSTRAINT fk_contacts_organization_id_merged_into "
        "FOREIGN KEY (organization_id, merged_into) REFERENCES networking.contacts (organization_id, id) "
        "ON DELETE CASCADE NOT VALID"
    )
    op.execute("DROP FUNCTION IF EXISTS networking.find_matches(uuid[], text[], text[], text[])")
    op.execute(FIND_MATCHES)
    op.own_by_system("networking.find_matches(uuid[], text[], text[], text[])")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE networking.contacts VALIDATE CONSTRAINT ck_contacts_marketing_consent")
        op.execute("ALTER TABLE networking.contacts VALIDATE CONSTRAINT fk_contacts_organization_id_merged_into")
        for name, (columns, options) in INDEXES.items():
            op.create_index(
                name,
                "contacts",
                ["organization_id", *columns],
                schema="networking",
                postgresql_concurrently=True,
                if_not_exists=True,
                **options,
            )
        op.drop_index(
            "ix_contacts_email",
            "contacts",
            schema="networking",
            postgresql_concurrently=True,
            if_exists=True,
        )


def downgrade() -> None:
    op.create_index(
        "ix_contacts_email", "contacts", ["organization_id", sa.literal_column("lower(email)")], schema="networking"
    )
    op.execute("DROP FUNCTION networking.find_matches(uuid[], text[], text[], text[])")
    for name in INDEXES:
        op.drop_index(name, "contacts", schema="networking")
    for name in ("merged_into", "marketing_consent", "additional_emails", "linkedin_key", "phone_e164"):
        op.drop_column("contacts", name, schema="networking")
