"""What contacts are matched by, folded once where it is written, and an index for each.

Row security keeps the planner from an index on an expression, as its functions are not leakproof; a
column's equality is. The four columns come in one statement, so the table is rewritten once.
"""

from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None

FIELDS = ("industry", "business_type", "job_title", "network_type")
FOLDED = r"lower(btrim(regexp_replace({}, '\s+'::text, ' '::text, 'g'::text)))"
OMITTED = ("lead_score", "search_text")


def upgrade() -> None:
    columns = ", ".join(
        f"ADD COLUMN IF NOT EXISTS {name}_key text GENERATED ALWAYS AS ({FOLDED.format(name)}) STORED"
        for name in FIELDS
    )
    op.execute(f"ALTER TABLE networking.contacts {columns}")
    op.audit_table("networking.contacts", omitted=(*OMITTED, *(f"{name}_key" for name in FIELDS)))
    with op.get_context().autocommit_block():
        for name in FIELDS:
            op.create_index(
                f"ix_contacts_{name}_key",
                "contacts",
                ["organization_id", f"{name}_key"],
                schema="networking",
                postgresql_concurrently=True,
                postgresql_where=f"({name}_key IS NOT NULL) AND (NOT is_deleted)",
                if_not_exists=True,
            )


def downgrade() -> None:
    op.audit_table("networking.contacts", omitted=OMITTED)
    for name in FIELDS:
        op.drop_column("contacts", f"{name}_key", schema="networking")
