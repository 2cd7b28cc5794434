"""Which import made a tag, and which put it on a contact: what a revert takes back."""

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0061"
branch_labels = None
depends_on = None

TABLES = ("tags", "contact_tags")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("import_id", sa.Uuid(), nullable=True), schema="networking")


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "import_id", schema="networking")
