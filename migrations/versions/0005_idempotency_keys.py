"""Answers kept for idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_idempotency_keys")),
        schema="core",
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], schema="core")
    op.guard_tenant_table("core.idempotency_keys", app=("SELECT", "INSERT"), audited=False)


def downgrade() -> None:
    op.drop_table("idempotency_keys", schema="core")
