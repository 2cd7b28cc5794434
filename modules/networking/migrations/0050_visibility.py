"""Whose contacts are, who sees them, and with whom they are shared."""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0031"
branch_labels = None
depends_on = None

FIND_MATCHES = """
    CREATE FUNCTION networking.find_matches(ids uuid[], emails text[], phones text[], profiles text[])
    RETURNS TABLE (
        kind text, value text, contact_id uuid, is_deleted boolean{columns}
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        WITH RECURSIVE tenant AS MATERIALIZED (
            SELECT nullif(current_setting('app.organization_id', true), '')::uuid AS id
        ), found AS (
            SELECT 'id' AS kind, sought::text AS value, c.*
            FROM tenant, unnest(ids) AS sought, LATERAL (
                SELECT {taken} FROM networking.contacts
                WHERE organization_id = tenant.id AND id = sought OFFSET 0
            ) AS c
            UNION ALL
            SELECT 'email', sought, c.*
            FROM tenant, unnest(emails) AS sought, LATERAL (
                SELECT {taken} FROM networking.contacts
                WHERE organization_id = tenant.id AND email = sought OFFSET 0
            ) AS c
            UNION ALL
            SELECT 'email', address, {taken}
            FROM networking.contacts AS c, unnest(c.additional_emails) AS address
            WHERE c.organization_id = (SELECT id FROM tenant) AND c.additional_emails <> '{{}}'
              AND c.additional_emails && emails AND address = ANY (emails)
            UNION ALL
            SELECT 'phone', sought, c.*
            FROM tenant, unnest(phones) AS sought, LATERAL (
                SELECT {taken} FROM networking.contacts
                WHERE organization_id = tenant.id AND phone_e164 = sought OFFSET 0
            ) AS c
            UNION ALL
            SELECT 'linkedin', sought, c.*
            FROM tenant, unnest(profiles) AS sought, LATERAL (
                SELECT {taken} FROM networking.contacts
                WHERE organization_id = tenant.id AND linkedin_key = sought OFFSET 0
            ) AS c
            UNION ALL
            SELECT found.kind, found.value, c.*
            FROM tenant, found, LATERAL (
                SELECT {taken} FROM networking.contacts
                WHERE organization_id = tenant.id AND id = found.merged_into OFFSET 0
            ) AS c
            WHERE found.merged_into IS NOT NULL
        )
        SELECT DISTINCT found.kind, found.value, found.id, found.is_deleted{shown} FROM found
        WHERE found.merged_into IS NULL
    $$
"""
"""As revision 0003 has it; it now tells whose each contact is, so that its caller can leave out what nobody showed."""
SIGNATURE = "networking.find_matches(uuid[], text[], text[], text[])"


def find_matches(*, telling_whose: bool) -> str:
    taken = "id, is_deleted, merged_into"
    if not telling_whose:
        return FIND_MATCHES.format(taken=taken, columns="", shown="")
    return FIND_MATCHES.format(
        taken=f"{taken}, visibility, owner_id",
        columns=", visibility text, owner_id uuid",
        shown=", found.visibility, found.owner_id",
    )


def upgrade() -> None:
    for column in (
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("visibility", sa.Text(), server_default="organization", nullable=False),
    ):
        op.add_column("contacts", column, schema="networking", if_not_exists=True)
    op.execute("ALTER TABLE networking.contacts DROP CONSTRAINT IF EXISTS ck_contacts_visibility")
    op.drop_table("contact_shares", schema="networking", if_exists=True)
    op.execute(
        "ALTER TABLE networking.contacts ADD CONSTRAINT ck_contacts_visibility "
        "CHECK (visibility IN ('organization', 'owner', 'shared')) NOT VALID"
    )
    op.create_table(
        "contact_shares",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("grantee_id", sa.Uuid(), nullable=False),
        sa.Column("can_edit", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('member', 'team')", name=op.f("ck_contact_shares_kind")),
        sa.ForeignKeyConstraint(
            ["organization_id", "contact_id"],
            ["networking.contacts.organization_id", "networking.contacts.id"],
            name=op.f("fk_contact_shares_organization_id_contact_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_shares")),
        sa.UniqueConstraint(
            "organization_id",
            "contact_id",
            "grantee_id",
            name=op.f("uq_contact_shares_organization_id_contact_id_grantee_id"),
        ),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_shares")
    op.create_index(
        "ix_contact_shares_grantee", "contact_shares", ["organization_id", "grantee_id"], schema="networking"
    )
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    op.execute(find_matches(telling_whose=True))
    op.own_by_system(SIGNATURE)
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE networking.contacts VALIDATE CONSTRAINT ck_contacts_visibility")
        op.create_index(
            "ix_contacts_owner",
            "contacts",
            ["organization_id", "owner_id", "created_at", "id"],
            schema="networking",
            postgresql_where=sa.text("NOT is_deleted"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {SIGNATURE}")
    op.execute(find_matches(telling_whose=False))
    op.own_by_system(SIGNATURE)
    op.drop_index("ix_contacts_owner", "contacts", schema="networking")
    op.drop_table("contact_shares", schema="networking")
    for name in ("visibility", "owner_id"):
        op.drop_column("contacts", name, schema="networking")
