"""Which modules an organization has, what every process must hear of, and jobs that wait for their module."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.db.announcements import CHANNEL
from core.db.tenancy import SYSTEM_ROLE
from core.db.types import Xid8

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

WAITING = "done_at IS NULL AND parked_at IS NULL"


ANNOUNCE = f"""
CREATE FUNCTION core.announce(topic text, key text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH added AS (INSERT INTO core.announcements (topic, key) VALUES ($1, $2) RETURNING id)
    SELECT pg_notify('{CHANNEL}', concat_ws(' ', id, $1, $2)) FROM added
$$
"""


def make_announcements() -> None:
    """Only the system reads them, since their keys name any tenant; anybody may add one, by the function."""
    op.create_table(
        "announcements",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
        schema="core",
    )
    op.create_index(op.f("ix_announcements_xid"), "announcements", ["xid"], schema="core")
    op.execute("ALTER TABLE core.announcements ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE core.announcements FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY system ON core.announcements TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON core.announcements TO {SYSTEM_ROLE}")
    op.execute(ANNOUNCE)
    op.own_by_system("core.announce(text,text)")


def upgrade() -> None:
    make_announcements()
    op.create_table(
        "organization_modules",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("changed_by", sa.Uuid(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retained_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tombstone", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state IN ('available', 'enabled', 'suspended', 'disabled', 'purged')",
            name=op.f("ck_organization_modules_state"),
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_organization_modules")),
        sa.UniqueConstraint("organization_id", "module", name=op.f("uq_organization_modules_organization_id_module")),
        schema="core",
    )
    op.guard_tenant_table("core.organization_modules", app=("SELECT", "INSERT", "UPDATE"))
    op.add_column("outbox", sa.Column("held_at", sa.DateTime(timezone=True), nullable=True), schema="core")
    op.drop_index("ix_outbox_due", table_name="outbox", schema="core")
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["not_before"],
        schema="core",
        postgresql_where=sa.text(f"{WAITING} AND held_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_outbox_due", table_name="outbox", schema="core")
    op.create_index("ix_outbox_due", "outbox", ["not_before"], schema="core", postgresql_where=sa.text(WAITING))
    op.drop_column("outbox", "held_at", schema="core")
    op.drop_table("organization_modules", schema="core")
    op.execute("DROP FUNCTION core.announce(text, text)")
    op.drop_table("announcements", schema="core")
