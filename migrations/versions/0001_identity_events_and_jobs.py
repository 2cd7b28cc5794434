"""Identity, events and jobs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.db.tenancy import APP_ROLE, CURRENT_ORGANIZATION, SYSTEM_ROLE
from core.db.types import Xid8

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


USER_COLUMNS = (
    "id, organization_id, email, first_name, last_name, phone, bio, avatar_url, job_title, company, linkedin_url, "
    "is_active, is_verified, is_admin, verified_at, last_login, created_at, updated_at, created_by, updated_by, "
    "is_deleted, deleted_at"
)
"""All but the password's hash, which only signing in needs."""


def guard_platform_tables() -> None:
    """Tables that are no tenant's, or are the tenant: still under forced row security, with policies of their own."""
    for table in ("organizations", "users", "sessions", "refresh_tokens", "schedules"):
        op.execute(f"ALTER TABLE core.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE core.{table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY system ON core.{table} TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON core.{table} TO {SYSTEM_ROLE}")
    op.execute(
        f"CREATE POLICY tenant ON core.organizations TO {APP_ROLE} "
        f"USING (id = {CURRENT_ORGANIZATION}) WITH CHECK (id = {CURRENT_ORGANIZATION})"
    )
    op.execute(f"GRANT SELECT, UPDATE (name, domain, settings, updated_at) ON core.organizations TO {APP_ROLE}")
    op.execute(
        f"CREATE POLICY tenant ON core.users FOR SELECT TO {APP_ROLE} USING (EXISTS ("
        "SELECT FROM core.memberships AS place "
        f"WHERE place.organization_id = {CURRENT_ORGANIZATION} AND place.user_id = users.id))"
    )
    op.execute(f"GRANT SELECT ({USER_COLUMNS}) ON core.users TO {APP_ROLE}")


def upgrade() -> None:
    # Trigram search, and uuid beside text in one GIN index. Both are trusted extensions: no superuser is needed.
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA core")
    op.execute("CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA core")
    op.create_table(
        "domain_events",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_domain_events")),
        schema="core",
    )
    op.guard_tenant_table("core.domain_events", audited=False)
    op.create_index(
        "ix_domain_events_stream", "domain_events", ["organization_id", "xid", "sequence"], unique=False, schema="core"
    )
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=True),
        sa.Column("subscription_plan", sa.Text(), server_default="free", nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
        sa.UniqueConstraint("slug", name=op.f("uq_organizations_slug")),
        schema="core",
    )
    op.create_table(
        "outbox",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("arguments", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_outbox")),
        schema="core",
    )
    op.guard_tenant_table("core.outbox", audited=False)
    op.create_index(
        "ix_outbox_done",
        "outbox",
        ["done_at"],
        unique=False,
        schema="core",
        postgresql_where=sa.text("done_at IS NOT NULL"),
    )
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["not_before"],
        unique=False,
        schema="core",
        postgresql_where=sa.text("done_at IS NULL AND parked_at IS NULL"),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_fired_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
        schema="core",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), server_default="", nullable=False),
        sa.Column("last_name", sa.Text(), server_default="", nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("bio", sa.Text(), nullable=True),
        sa.Column("avatar_url", sa.Text(), nullable=True),
        sa.Column("job_title", sa.Text(), nullable=True),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("linkedin_url", sa.Text(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("is_verified", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("is_admin", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_login", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("updated_by", sa.Uuid(), nullable=True),
        sa.Column("is_deleted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["created_by"], ["core.users.id"], name=op.f("fk_users_created_by")),
        sa.ForeignKeyConstraint(["organization_id"], ["core.organizations.id"], name=op.f("fk_users_organization_id")),
        sa.ForeignKeyConstraint(["updated_by"], ["core.users.id"], name=op.f("fk_users_updated_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        schema="core",
    )
    op.create_table(
        "memberships",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "role IN ('viewer', 'member', 'manager', 'admin', 'owner')", name=op.f("ck_memberships_role")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["core.users.id"], name=op.f("fk_memberships_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_memberships")),
        sa.UniqueConstraint("organization_id", "user_id", name=op.f("uq_memberships_organization_id_user_id")),
        schema="core",
    )
    op.guard_tenant_table("core.memberships", app=["SELECT"], audited=False)
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"], unique=False, schema="core")
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["core.organizations.id"], name=op.f("fk_sessions_organization_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["core.users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        schema="core",
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False, schema="core")
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["core.sessions.id"], name=op.f("fk_refresh_tokens_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
        schema="core",
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"], unique=False, schema="core")
    guard_platform_tables()


def downgrade() -> None:
    op.drop_index("ix_refresh_tokens_session_id", table_name="refresh_tokens", schema="core")
    op.drop_table("refresh_tokens", schema="core")
    op.drop_index("ix_sessions_user_id", table_name="sessions", schema="core")
    op.drop_table("sessions", schema="core")
    op.execute("DROP POLICY tenant ON core.users")  # it asks memberships
    op.drop_index("ix_memberships_user_id", table_name="memberships", schema="core")
    op.drop_table("memberships", schema="core")
    op.drop_table("users", schema="core")
    op.drop_table("schedules", schema="core")
    op.drop_index(
        "ix_outbox_due",
        table_name="outbox",
        schema="core",
        postgresql_where=sa.text("done_at IS NULL AND parked_at IS NULL"),
    )
    op.drop_index("ix_outbox_done", table_name="outbox", schema="core", postgresql_where=sa.text("done_at IS NOT NULL"))
    op.drop_table("outbox", schema="core")
    op.drop_table("organizations", schema="core")
    op.drop_index("ix_domain_events_stream", table_name="domain_events", schema="core")
    op.drop_table("domain_events", schema="core")
    op.execute("DROP EXTENSION btree_gin")
    op.execute("DROP EXTENSION pg_trgm")
