"""Merges, with what it takes to undo them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contact_merges",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=False),
        sa.Column("merged_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("after", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("stamps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("interaction_ids", sa.ARRAY(sa.Uuid()), server_default="{}", nullable=False),
        sa.Column("undo_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *(
            sa.ForeignKeyConstraint(
                ["organization_id", column],
                ["networking.contacts.organization_id", "networking.contacts.id"],
                name=op.f(f"fk_contact_merges_organization_id_{column}"),
                ondelete="CASCADE",
            )
            for column in ("survivor_id", "merged_id")
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_merges")),
        sa.UniqueConstraint("organization_id", "merged_id", name=op.f("uq_contact_merges_organization_id_merged_id")),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_merges")
    op.create_index(
        "ix_contact_merges_survivor",
        "contact_merges",
        ["organization_id", "survivor_id", "created_at"],
        schema="networking",
    )
    op.create_index(
        "ix_contact_merges_created", "contact_merges", ["organization_id", "created_at", "id"], schema="networking"
    )


def downgrade() -> None:
    op.drop_table("contact_merges", schema="networking")
