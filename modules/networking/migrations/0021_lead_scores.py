"""Lead scores: rules, scores with their reasons, recomputations. What a contact's score is, is no change of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _table(
        "score_rules",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rules", postgresql.JSONB(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.UniqueConstraint("organization_id", "number", name=op.f("uq_score_rules_organization_id_number")),
    )
    op.guard_tenant_table("networking.score_rules")
    _table(
        "contact_scores",
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("rules_number", sa.Integer(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lines", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.UniqueConstraint("organization_id", "contact_id", name=op.f("uq_contact_scores_organization_id_contact_id")),
        sa.ForeignKeyConstraint(
            ["organization_id", "contact_id"],
            ["networking.contacts.organization_id", "networking.contacts.id"],
            name=op.f("fk_contact_scores_organization_id_contact_id"),
            ondelete="CASCADE",
        ),
    )
    op.guard_tenant_table("networking.contact_scores", audited=False)
    _table(
        "score_runs",
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rules_number", sa.Integer(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("after", sa.Uuid(), nullable=True),
        sa.Column("contacts_total", sa.Integer(), nullable=True),
        sa.Column("contacts_done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("contacts_changed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'running', 'done')", name=op.f("ck_score_runs_state")),
    )
    op.guard_tenant_table("networking.score_runs", audited=False)
    op.create_index("ix_score_runs_created", "score_runs", ["organization_id", "created_at", "id"], schema="networking")
    op.audit_table("networking.contacts", omitted=("lead_score", "search_text"))


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
    op.audit_table("networking.contacts", omitted=("search_text",))
    for table in ("score_runs", "contact_scores", "score_rules"):
        op.drop_table(table, schema="networking")
