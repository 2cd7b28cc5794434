"""What is left of erased people: hashes by which an import knows them, so that it doesn't bring them back."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erased_keys",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_erased_keys")),
        sa.UniqueConstraint("organization_id", "fingerprint", name=op.f("uq_erased_keys_organization_id_fingerprint")),
        schema="networking",
    )
    op.guard_tenant_table("networking.erased_keys", audited=False)


def downgrade() -> None:
    op.drop_table("erased_keys", schema="networking")
