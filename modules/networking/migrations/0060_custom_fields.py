"""Custom fields, and their values on contacts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0060"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "custom_fields",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("label_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        *(
            sa.Column(name, postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False)
            for name in ("options", "archived_options")
        ),
        sa.Column("required", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("archived", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('text', 'number', 'boolean', 'date', 'select', 'multi_select', 'url')",
            name=op.f("ck_custom_fields_kind"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_custom_fields")),
        sa.UniqueConstraint("organization_id", "key", name=op.f("uq_custom_fields_organization_id_key")),
        sa.UniqueConstraint("organization_id", "label_key", name=op.f("uq_custom_fields_organization_id_label_key")),
        schema="networking",
    )
    op.guard_tenant_table("networking.custom_fields")
    custom = sa.Column("custom", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("contacts", custom, schema="networking")


def downgrade() -> None:
    op.drop_column("contacts", "custom", schema="networking")
    op.drop_table("custom_fields", schema="networking")
