"""Signing in with issuers of OpenID Connect: whom they know, and attempts under way."""

import sqlalchemy as sa
from alembic import op

from core.db.tenancy import SYSTEM_ROLE

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("oidc_identities", "oidc_attempts")


def upgrade() -> None:
    op.create_table(
        "oidc_identities",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["core.users.id"], name=op.f("fk_oidc_identities_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oidc_identities")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_oidc_identities_issuer_subject")),
        sa.UniqueConstraint("user_id", "issuer", name=op.f("uq_oidc_identities_user_id_issuer")),
        schema="core",
    )
    op.create_table(
        "oidc_attempts",
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["core.sessions.id"], name=op.f("fk_oidc_attempts_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["core.users.id"], name=op.f("fk_oidc_attempts_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_oidc_attempts")),
        schema="core",
    )
    op.create_index("ix_oidc_attempts_expires_at", "oidc_attempts", ["expires_at"], unique=False, schema="core")
    for table in TABLES:
        op.execute(f"ALTER TABLE core.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE core.{table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY system ON core.{table} TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON core.{table} TO {SYSTEM_ROLE}")
    op.audit_table("core.oidc_identities", owner="person", omitted=["last_used_at"])


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table, schema="core")
