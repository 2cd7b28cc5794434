"""Imports: what a file is, how it is to be read and taken, and what became of each row."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CHOICES = {
    "state": "'draft', 'queued', 'running', 'done', 'failed', 'reverting', 'reverted'",
    "format": "'csv', 'vcard'",
    "source": "'google', 'linkedin', 'hubspot', 'outlook', 'vcard', 'other'",
    "mode": "'create', 'update', 'upsert'",
    "match_key": "'email', 'phone', 'linkedin', 'id'",
    "duplicates": "'skip', 'update', 'create'",
}
TEXTS = {
    "format": "csv",
    "source": "other",
    "encoding": "utf-8",
    "delimiter": ",",
    "mode": "create",
    "match_key": "email",
    "duplicates": "skip",
}
BYTES = ("first_byte", "bytes_done")
LISTS = ("columns", "fields")
LINES = ("first_line", "next_line")
COUNTS = ("rows_updated", "rows_skipped", "contacts_reverted", "contacts_kept")


def upgrade() -> None:
    columns = [
        *(sa.Column(name, sa.Text(), server_default=value, nullable=False) for name, value in TEXTS.items()),
        *(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in COUNTS),
        *(
            sa.Column(n, postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False)
            for n in ("columns", "fields")
        ),
        sa.Column("dry_run", sa.Boolean(), server_default="false", nullable=False),
        *(sa.Column(n, sa.BigInteger(), server_default="0", nullable=False) for n in BYTES),
        *(sa.Column(n, sa.Integer(), server_default="1", nullable=False) for n in LINES),
    ]
    for column in columns:
        op.add_column("contact_imports", column, schema="networking")
    op.drop_constraint("ck_contact_imports_state", "contact_imports", schema="networking")
    for name, values in CHOICES.items():
        op.execute(
            f"ALTER TABLE networking.contact_imports ADD CONSTRAINT ck_contact_imports_{name} "
            f"CHECK ({name} IN ({values})) NOT VALID"
        )
        op.execute(f"ALTER TABLE networking.contact_imports VALIDATE CONSTRAINT ck_contact_imports_{name}")
    op.create_table(
        "contact_import_rows",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("contact_version", sa.Integer(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("cells", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("revert", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('created', 'updated', 'skipped', 'failed')", name=op.f("ck_contact_import_rows_outcome")
        ),
        sa.CheckConstraint("revert IN ('reverted', 'kept')", name=op.f("ck_contact_import_rows_revert")),
        sa.ForeignKeyConstraint(
            ["organization_id", "import_id"],
            ["networking.contact_imports.organization_id", "networking.contact_imports.id"],
            name=op.f("fk_contact_import_rows_organization_id_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_import_rows")),
        sa.UniqueConstraint(
            "organization_id",
            "import_id",
            "line",
            name=op.f("uq_contact_import_rows_organization_id_import_id_line"),
        ),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_import_rows", audited=False)
    op.create_index(
        "ix_contact_import_rows_contact",
        "contact_import_rows",
        ["organization_id", "import_id", "contact_id"],
        schema="networking",
        postgresql_where=sa.text("contact_version IS NOT NULL AND revert IS NULL"),
    )


def downgrade() -> None:
    op.drop_table("contact_import_rows", schema="networking")
    for name in CHOICES:
        op.drop_constraint(f"ck_contact_imports_{name}", "contact_imports", schema="networking")
    op.create_check_constraint(
        op.f("ck_contact_imports_state"),
        "contact_imports",
        "state IN ('queued', 'running', 'done', 'failed')",
        schema="networking",
    )
    for name in (*TEXTS, *COUNTS, *BYTES, *LINES, *LISTS, "dry_run"):
        op.drop_column("contact_imports", name, schema="networking")
