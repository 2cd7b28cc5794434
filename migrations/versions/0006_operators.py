"""Operators, impersonation, and the ends of an organization: suspended, deleted, purged."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.db.tenancy import SYSTEM_ROLE

revision = "0006"
down_revision = "0007"
branch_labels = None
depends_on = None

ORGANIZATION = {
    "suspended_at": sa.DateTime(timezone=True),
    "suspended_reason": sa.Text(),
    "purged_at": sa.DateTime(timezone=True),
    "purged_rows": postgresql.JSONB(astext_type=sa.Text()),
}
TRAIL = ("audit_logs", "audit_seals")
STAYS = """
    CREATE FUNCTION core.audit_stays() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM (SELECT DISTINCT organization_id FROM old_rows) AS gone WHERE NOT EXISTS (
                SELECT FROM core.organizations AS o
                WHERE o.id = gone.organization_id AND o.is_deleted AND o.deletes_at <= now())
        ) THEN
            RAISE insufficient_privilege USING MESSAGE = 'the trail of a living organization stays';
        END IF;
        RETURN NULL;
    END $$
"""
"""The trail leaves with its organization, and not before the grace is over."""


def guard(table: str) -> None:
    op.execute(f"ALTER TABLE core.{table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE core.{table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY system ON core.{table} TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON core.{table} TO {SYSTEM_ROLE}")


def make_operators() -> None:
    op.create_table(
        "operators",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("impersonates_writing", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["core.users.id"], name=op.f("fk_operators_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_operators")),
        schema="core",
    )
    guard("operators")
    op.audit_table("core.operators", owner="person")


def make_impersonations() -> None:
    op.create_table(
        "impersonations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("writes", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_impersonations_expires_at")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_impersonations")),
        schema="core",
    )
    op.create_index("ix_impersonations_created_at", "impersonations", ["created_at", "id"], schema="core")
    guard("impersonations")
    op.audit_table("core.impersonations")


def let_the_trail_leave() -> None:
    op.execute(STAYS)
    for table in TRAIL:
        op.execute(f"GRANT DELETE ON core.{table} TO {SYSTEM_ROLE}")
        op.execute(
            f"CREATE TRIGGER stays AFTER DELETE ON core.{table} REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT "
            f"WHEN (current_user = '{SYSTEM_ROLE}') EXECUTE FUNCTION core.audit_stays()"
        )


def upgrade() -> None:
    for name, kind in ORGANIZATION.items():
        op.add_column("organizations", sa.Column(name, kind, nullable=True), schema="core")
    op.audit_table("core.organizations", owner="organization", omitted=("purged_rows",))
    op.add_column("sessions", sa.Column("second_factor_at", sa.DateTime(timezone=True), nullable=True), schema="core")
    op.create_index("ix_sessions_created_at", "sessions", ["created_at", "id"], schema="core")
    make_operators()
    make_impersonations()
    let_the_trail_leave()


def downgrade() -> None:
    for table in TRAIL:
        op.execute(f"DROP TRIGGER stays ON core.{table}")
        op.execute(f"REVOKE DELETE ON core.{table} FROM {SYSTEM_ROLE}")
    op.execute("DROP FUNCTION core.audit_stays()")
    op.drop_table("impersonations", schema="core")
    op.drop_table("operators", schema="core")
    op.drop_index("ix_sessions_created_at", table_name="sessions", schema="core")
    op.drop_column("sessions", "second_factor_at", schema="core")
    op.audit_table("core.organizations", owner="organization")
    for name in ORGANIZATION:
        op.drop_column("organizations", name, schema="core")
