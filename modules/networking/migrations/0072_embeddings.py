"""Vectors of contacts' profiles."""

import sqlalchemy as sa
from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = {"server_default": sa.text("now()"), "nullable": False}
    op.create_table(
        "contact_embeddings",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("contact_version", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.Column("fields", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("embedding", sa.ARRAY(sa.REAL()), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), **now),
        sa.Column("updated_at", sa.DateTime(timezone=True), **now),
        sa.ForeignKeyConstraint(
            ["organization_id", "contact_id"],
            ["networking.contacts.organization_id", "networking.contacts.id"],
            name=op.f("fk_contact_embeddings_organization_id_contact_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_embeddings")),
        sa.UniqueConstraint(
            "organization_id", "contact_id", name=op.f("uq_contact_embeddings_organization_id_contact_id")
        ),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_embeddings", audited=False)


def downgrade() -> None:
    op.drop_table("contact_embeddings", schema="networking")
