"""Credentials: data keys, signing keys, second factors, API keys, failed sign-ins."""

import sqlalchemy as sa
from alembic import op

from core.db.tenancy import SYSTEM_ROLE

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PLATFORM_TABLES = ("signing_keys", "totp_factors", "recovery_codes", "sign_in_attempts")
SESSION_COLUMNS = ("last_used_at", "address", "user_agent")


def guard_platform_tables() -> None:
    """No tenant's tables: the system role alone gets at them."""
    for table in PLATFORM_TABLES:
        op.execute(f"ALTER TABLE core.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE core.{table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY system ON core.{table} TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON core.{table} TO {SYSTEM_ROLE}")


def user_reference(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_user_id")
    return sa.ForeignKeyConstraint(["user_id"], ["core.users.id"], name=name, ondelete="CASCADE")


def tenant_columns() -> list[sa.Column]:
    return [
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    ]


def create_data_keys() -> None:
    op.create_table(
        "data_keys",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("wrapping_key", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        *tenant_columns(),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_data_keys")),
        sa.UniqueConstraint("organization_id", "number", name=op.f("uq_data_keys_organization_id_number")),
        schema="core",
    )
    op.guard_tenant_table("core.data_keys", audited=False)
    op.create_index(
        "ix_data_keys_current",
        "data_keys",
        ["organization_id"],
        unique=True,
        schema="core",
        postgresql_where=sa.text("retired_at IS NULL"),
    )


def create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        *tenant_columns(),
        user_reference("api_keys"),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_api_keys")),
        schema="core",
    )
    op.guard_tenant_table("core.api_keys", audited=False)
    op.create_index("ix_api_keys_key_hash", "api_keys", ["key_hash"], unique=False, schema="core")
    op.create_index("ix_api_keys_user_id", "api_keys", ["user_id"], unique=False, schema="core")


def create_platform_tables() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signs_from", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
        schema="core",
    )
    op.create_table(
        "totp_factors",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        user_reference("totp_factors"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_totp_factors")),
        schema="core",
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        user_reference("recovery_codes"),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name=op.f("pk_recovery_codes")),
        schema="core",
    )
    op.create_table(
        "sign_in_attempts",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_in_attempts")),
        schema="core",
    )
    op.create_index(
        "ix_sign_in_attempts_last_failed_at", "sign_in_attempts", ["last_failed_at"], unique=False, schema="core"
    )


def upgrade() -> None:
    create_data_keys()
    create_api_keys()
    create_platform_tables()
    guard_platform_tables()
    op.add_column(
        "sessions",
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        schema="core",
    )
    op.add_column("sessions", sa.Column("address", sa.Text(), nullable=True), schema="core")
    op.add_column("sessions", sa.Column("user_agent", sa.Text(), nullable=True), schema="core")


def downgrade() -> None:
    for column in reversed(SESSION_COLUMNS):
        op.drop_column("sessions", column, schema="core")
    for table in reversed(("data_keys", "api_keys", *PLATFORM_TABLES)):
        op.drop_table(table, schema="core")
