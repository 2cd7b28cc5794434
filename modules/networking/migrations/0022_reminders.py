"""Reminders of scheduled interactions."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

NAME = "ix_contact_interactions_remind"


def upgrade() -> None:
    for column in ("remind_at", "reminded_at"):
        added = sa.Column(column, sa.DateTime(timezone=True), nullable=True)
        op.add_column("contact_interactions", added, schema="networking", if_not_exists=True)
    op.audit_table("networking.contact_interactions", omitted=("reminded_at",))
    with op.get_context().autocommit_block():
        op.create_index(
            NAME,
            "contact_interactions",
            ["organization_id", "remind_at"],
            schema="networking",
            postgresql_where=sa.text("remind_at IS NOT NULL AND reminded_at IS NULL"),
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    op.drop_index(NAME, "contact_interactions", schema="networking")
    op.audit_table("networking.contact_interactions")
    for column in ("reminded_at", "remind_at"):
        op.drop_column("contact_interactions", column, schema="networking")
