"""The audit trail of what is here."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

AUDITED = {
    "contacts": {"omitted": ("search_text",)},
    "contact_interactions": {},
    "contact_imports": {},
    "contact_import_errors": {},
}


def upgrade() -> None:
    for table, rule in AUDITED.items():
        op.audit_table(f"networking.{table}", **rule)


def downgrade() -> None:
    for table in AUDITED:
        op.leave_unaudited(f"networking.{table}")
