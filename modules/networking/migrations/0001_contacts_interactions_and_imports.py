"""Contacts, interactions and imports."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


SEARCH_TEXT = (
    "lower(coalesce(first_name, '') || ' ' || coalesce(last_name, '') || ' ' || coalesce(company, '') || ' ' || "
    "coalesce(job_title, '') || ' ' || coalesce(email, ''))"
)
FIND_CONTACTS = """
    CREATE FUNCTION networking.find_contacts(terms text[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT contact.id FROM networking.contacts AS contact
        WHERE contact.organization_id = nullif(current_setting('app.organization_id', true), '')::uuid
          AND contact.search_text LIKE terms[1]
          AND contact.search_text LIKE ALL (terms)
    $$
"""
"""Row security keeps the planner from the trigram index, as its operators are not leakproof; this function sees past
row security and so carries the tenant itself. The first term is the one that is looked up in the index."""


def upgrade() -> None:
    op.create_table(
        "contact_imports",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("file_bytes", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rows_total", sa.Integer(), nullable=True),
        sa.Column("rows_done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_created", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rows_failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name=op.f("ck_contact_imports_state")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_imports")),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_imports", audited=False)
    op.create_index(
        "ix_contact_imports_created",
        "contact_imports",
        ["organization_id", "created_at", "id"],
        unique=False,
        schema="networking",
    )
    op.create_table(
        "contacts",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("updated_by", sa.Uuid(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("job_title", sa.Text(), nullable=True),
        sa.Column("linkedin_url", sa.Text(), nullable=True),
        sa.Column("bio", sa.Text(), nullable=True),
        sa.Column("avatar_url", sa.Text(), nullable=True),
        sa.Column("contact_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("business_type", sa.Text(), nullable=True),
        sa.Column("network_type", sa.Text(), nullable=True),
        sa.Column("industry", sa.Text(), nullable=True),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("lead_score", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_interaction", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "search_text",
            sa.Text(),
            sa.Computed(
                SEARCH_TEXT,
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("contact_type IN ('target', 'contact', 'plug')", name=op.f("ck_contacts_contact_type")),
        sa.CheckConstraint("priority IN ('high', 'medium', 'low')", name=op.f("ck_contacts_priority")),
        sa.CheckConstraint(
            "status IN ('new_client', 'existing_client', 'hot_lead', 'cold_lead')", name=op.f("ck_contacts_status")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contacts")),
        schema="networking",
    )
    op.guard_tenant_table("networking.contacts", audited=False)
    op.create_index(
        "ix_contacts_created",
        "contacts",
        ["organization_id", "created_at", "id"],
        unique=False,
        schema="networking",
        postgresql_where=sa.text("NOT is_deleted"),
    )
    op.create_index(
        "ix_contacts_email",
        "contacts",
        ["organization_id", sa.literal_column("lower(email)")],
        unique=False,
        schema="networking",
    )
    op.create_index(
        "ix_contacts_name",
        "contacts",
        ["organization_id", "last_name", "first_name"],
        unique=False,
        schema="networking",
    )
    op.create_index(
        "ix_contacts_search",
        "contacts",
        ["organization_id", "search_text"],
        unique=False,
        schema="networking",
        postgresql_using="gin",
        postgresql_ops={"search_text": "core.gin_trgm_ops"},
    )
    op.create_table(
        "contact_import_chunks",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "import_id"],
            ["networking.contact_imports.organization_id", "networking.contact_imports.id"],
            name=op.f("fk_contact_import_chunks_organization_id_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_import_chunks")),
        sa.UniqueConstraint(
            "organization_id",
            "import_id",
            "ordinal",
            name=op.f("uq_contact_import_chunks_organization_id_import_id_ordinal"),
        ),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_import_chunks", audited=False)
    op.create_table(
        "contact_import_errors",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("column", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "import_id"],
            ["networking.contact_imports.organization_id", "networking.contact_imports.id"],
            name=op.f("fk_contact_import_errors_organization_id_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_import_errors")),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_import_errors", audited=False)
    op.create_index(
        "ix_contact_import_errors_line",
        "contact_import_errors",
        ["organization_id", "import_id", "line", "id"],
        unique=False,
        schema="networking",
    )
    op.create_table(
        "contact_interactions",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("interaction_type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("interaction_date", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "interaction_type IN ('meeting', 'call', 'email', 'linkedin', 'event', 'follow_up')",
            name=op.f("ck_contact_interactions_interaction_type"),
        ),
        sa.CheckConstraint(
            "status IN ('completed', 'scheduled', 'cancelled')", name=op.f("ck_contact_interactions_status")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id", "contact_id"],
            ["networking.contacts.organization_id", "networking.contacts.id"],
            name=op.f("fk_contact_interactions_organization_id_contact_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_interactions")),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_interactions", audited=False)
    op.create_index(
        "ix_contact_interactions_contact",
        "contact_interactions",
        ["organization_id", "contact_id", "interaction_date", "id"],
        unique=False,
        schema="networking",
    )
    op.execute(FIND_CONTACTS)
    op.own_by_system("networking.find_contacts(text[])")


def downgrade() -> None:
    op.execute("DROP FUNCTION networking.find_contacts(text[])")
    op.drop_index("ix_contact_interactions_contact", table_name="contact_interactions", schema="networking")
    op.drop_table("contact_interactions", schema="networking")
    op.drop_index("ix_contact_import_errors_line", table_name="contact_import_errors", schema="networking")
    op.drop_table("contact_import_errors", schema="networking")
    op.drop_table("contact_import_chunks", schema="networking")
    op.drop_index(
        "ix_contacts_search",
        table_name="contacts",
        schema="networking",
        postgresql_using="gin",
        postgresql_ops={"search_text": "core.gin_trgm_ops"},
    )
    op.drop_index("ix_contacts_name", table_name="contacts", schema="networking")
    op.drop_index("ix_contacts_email", table_name="contacts", schema="networking")
    op.drop_index(
        "ix_contacts_created", table_name="contacts", schema="networking", postgresql_where=sa.text("NOT is_deleted")
    )
    op.drop_table("contacts", schema="networking")
    op.drop_index("ix_contact_imports_created", table_name="contact_imports", schema="networking")
    op.drop_table("contact_imports", schema="networking")
