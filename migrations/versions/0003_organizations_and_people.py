"""Organizations and people: teams, roles, grants, invitations, one-time tokens."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.db.tenancy import APP_ROLE, SYSTEM_ROLE

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def of_tenant(name: str, *items: sa.schema.SchemaItem, soft: bool = False) -> None:
    """A tenant table with what each of them has."""
    marks = [
        sa.Column("is_deleted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
    ]
    op.create_table(
        name,
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *items,
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *(marks if soft else ()),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f(f"pk_{name}")),
        schema="core",
    )
    op.guard_tenant_table(f"core.{name}", audited=False)


def to_member(name: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", "user_id"],
        ["core.memberships.organization_id", "core.memberships.user_id"],
        name=op.f(f"fk_{name}_organization_id_user_id"),
        ondelete="CASCADE",
    )


def to_own(name: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"core.{target}.organization_id", f"core.{target}.id"],
        name=op.f(f"fk_{name}_organization_id_{column}"),
        ondelete="CASCADE",
    )


def to_person(name: str, column: str, *, ondelete: str = "SET NULL") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["core.users.id"], name=op.f(f"fk_{name}_{column}"), ondelete=ondelete)


def make_named(name: str, *items: sa.schema.SchemaItem) -> None:
    """A table of things with a name that only one living thing of the organization may have."""
    of_tenant(
        name,
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        *items,
        soft=True,
    )
    op.create_index(
        f"uq_{name}_name",
        name,
        ["organization_id", sa.literal_column("lower(name)")],
        unique=True,
        schema="core",
        postgresql_where=sa.text("NOT is_deleted"),
    )


def make_teams() -> None:
    make_named("teams")
    of_tenant(
        "team_members",
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        to_own("team_members", "team_id", "teams"),
        to_member("team_members"),
        sa.UniqueConstraint(
            "organization_id", "team_id", "user_id", name=op.f("uq_team_members_organization_id_team_id_user_id")
        ),
    )
    op.create_index("ix_team_members_user_id", "team_members", ["organization_id", "user_id"], schema="core")


def make_roles() -> None:
    make_named("roles", sa.Column("permissions", postgresql.ARRAY(sa.Text()), nullable=False))
    of_tenant(
        "role_grants",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("granted_by", sa.Uuid(), nullable=True),
        to_member("role_grants"),
        to_own("role_grants", "role_id", "roles"),
        to_own("role_grants", "team_id", "teams"),
        to_person("role_grants", "granted_by"),
        sa.UniqueConstraint(
            "organization_id",
            "user_id",
            "role_id",
            "team_id",
            name=op.f("uq_role_grants_organization_id_user_id_role_id_team_id"),
            postgresql_nulls_not_distinct=True,
        ),
    )


def make_invitations() -> None:
    of_tenant(
        "invitations",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("team_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_by", sa.Uuid(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('viewer', 'member', 'manager', 'admin', 'owner')", name=op.f("ck_invitations_role")
        ),
        to_person("invitations", "invited_by"),
        to_person("invitations", "accepted_by"),
    )
    op.create_index(
        "uq_invitations_email",
        "invitations",
        ["organization_id", "email"],
        unique=True,
        schema="core",
        postgresql_where=sa.text("accepted_at IS NULL AND revoked_at IS NULL"),
    )
    op.create_index("ix_invitations_token_hash", "invitations", ["token_hash"], schema="core")


def make_one_time_tokens() -> None:
    op.create_table(
        "one_time_tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('verify-email', 'reset-password', 'restore-organization')",
            name=op.f("ck_one_time_tokens_purpose"),
        ),
        to_person("one_time_tokens", "user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["core.organizations.id"],
            name=op.f("fk_one_time_tokens_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_one_time_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_one_time_tokens_token_hash")),
        schema="core",
    )
    op.create_index("ix_one_time_tokens_user_id", "one_time_tokens", ["user_id", "purpose"], schema="core")
    op.execute("ALTER TABLE core.one_time_tokens ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE core.one_time_tokens FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY system ON core.one_time_tokens TO {SYSTEM_ROLE} USING (true) WITH CHECK (true)")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON core.one_time_tokens TO {SYSTEM_ROLE}")


def upgrade() -> None:
    for table in ("organizations", "users"):
        version = sa.Column("version", sa.Integer(), server_default="1", nullable=False)
        op.add_column(table, version, schema="core")
    op.execute(f"GRANT SELECT (version) ON core.users TO {APP_ROLE}")
    op.execute(f"GRANT DELETE, UPDATE (role, is_active, version, updated_at) ON core.memberships TO {APP_ROLE}")
    op.execute(f"GRANT UPDATE (version) ON core.organizations TO {APP_ROLE}")
    op.add_column("organizations", sa.Column("deletes_at", sa.DateTime(timezone=True), nullable=True), schema="core")
    make_teams()
    make_roles()
    make_invitations()
    make_one_time_tokens()


def downgrade() -> None:
    for table in ("one_time_tokens", "invitations", "role_grants", "roles", "team_members", "teams"):
        op.drop_table(table, schema="core")
    op.execute(f"REVOKE DELETE, UPDATE (role, is_active, version, updated_at) ON core.memberships FROM {APP_ROLE}")
    op.execute(f"REVOKE UPDATE (version, is_deleted, deleted_at, deletes_at) ON core.organizations FROM {APP_ROLE}")
    op.drop_column("organizations", "deletes_at", schema="core")
    for table in ("users", "organizations"):
        op.drop_column(table, "version", schema="core")
