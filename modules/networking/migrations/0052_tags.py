"""Tags."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def own() -> list[sa.Column]:
    return [
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "tags",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("colour", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        *own(),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_tags")),
        sa.UniqueConstraint("organization_id", "key", name=op.f("uq_tags_organization_id_key")),
        schema="networking",
    )
    op.guard_tenant_table("networking.tags")
    op.create_table(
        "contact_tags",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("tag_id", sa.Uuid(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        *own(),
        *(
            sa.ForeignKeyConstraint(
                ["organization_id", column],
                [f"networking.{table}.organization_id", f"networking.{table}.id"],
                name=op.f(f"fk_contact_tags_organization_id_{column}"),
                ondelete="CASCADE",
            )
            for column, table in (("contact_id", "contacts"), ("tag_id", "tags"))
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_tags")),
        sa.UniqueConstraint(
            "organization_id", "contact_id", "tag_id", name=op.f("uq_contact_tags_organization_id_contact_id_tag_id")
        ),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_tags")
    op.create_index(
        "ix_contact_tags_tag", "contact_tags", ["organization_id", "tag_id", "contact_id"], schema="networking"
    )
    tag_ids = sa.Column("tag_ids", postgresql.ARRAY(sa.Uuid()), server_default="{}", nullable=False)
    op.add_column("contact_merges", tag_ids, schema="networking")


def downgrade() -> None:
    op.drop_column("contact_merges", "tag_ids", schema="networking")
    op.drop_table("contact_tags", schema="networking")
    op.drop_table("tags", schema="networking")
