"""Connections between members: one row for two people."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("first_id", sa.Uuid(), nullable=False),
        sa.Column("second_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_blocked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("second_blocked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'connected', 'declined', 'cancelled', 'removed', 'none')",
            name=op.f("ck_connections_state"),
        ),
        sa.CheckConstraint("first_id < second_id", name=op.f("ck_connections_order")),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_connections")),
        sa.UniqueConstraint(
            "organization_id", "first_id", "second_id", name=op.f("uq_connections_organization_id_first_id_second_id")
        ),
        schema="networking",
    )
    op.guard_tenant_table("networking.connections")
    op.create_index(
        "ix_connections_second", "connections", ["organization_id", "second_id", "first_id"], schema="networking"
    )
    op.create_index(
        "ix_connections_asked",
        "connections",
        ["organization_id", "requested_by"],
        schema="networking",
        postgresql_where=sa.text("state = 'pending'"),
    )


def downgrade() -> None:
    op.drop_table("connections", schema="networking")
