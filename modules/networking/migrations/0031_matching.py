"""Matching: profiles of members who want to be recommended, and what was said of recommendations."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    lists = ("interests", "goals", "offers", "terms")
    _table(
        "matching_profiles",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("is_open", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("company", sa.Text(), nullable=True),
        sa.Column("industry", sa.Text(), nullable=True),
        *(sa.Column(name, sa.ARRAY(sa.Text()), server_default="{}", nullable=False) for name in lists),
        sa.UniqueConstraint("organization_id", "user_id", name=op.f("uq_matching_profiles_organization_id_user_id")),
    )
    op.guard_tenant_table("networking.matching_profiles")
    _table(
        "match_feedback",
        sa.Column("about_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("verdict IN ('useful', 'dismissed')", name=op.f("ck_match_feedback_verdict")),
        sa.UniqueConstraint(
            "organization_id", "about_id", "other_id", name=op.f("uq_match_feedback_organization_id_about_id_other_id")
        ),
    )
    op.guard_tenant_table("networking.match_feedback")
    op.create_index("ix_match_feedback_other", "match_feedback", ["organization_id", "other_id"], schema="networking")


def _table(name: str, *parts: sa.Column | sa.Constraint) -> None:
    now = {"server_default": sa.text("now()"), "nullable": False}
    op.create_table(
        name,
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *parts,
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), **now),
        sa.Column("updated_at", sa.DateTime(timezone=True), **now),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f(f"pk_{name}")),
        schema="networking",
    )


def downgrade() -> None:
    for table in ("match_feedback", "matching_profiles"):
        op.drop_table(table, schema="networking")
