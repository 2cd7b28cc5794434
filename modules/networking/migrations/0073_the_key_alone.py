"""Of the indexes of contacts that begin with the tenant, only the key is whole.

To the planner, an organization that its statistics don't know has no rows, and in a small table all indexes cost the
same: then any whole index that begins with the tenant is as good to it as the key. The plan is kept while the table
grows, and a foreign key reads all contacts of the organization for each new row. A partial index can't be mistaken.
"""

from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None

PARTIAL = {
    "ix_contacts_address": (["organization_id", "email"], "email IS NOT NULL"),
    "ix_contacts_name": (["organization_id", "last_name", "first_name"], "NOT is_deleted"),
}
STAGES = ("networking.begin_stages()", "networking.change_stage()")


def _plan_stages(mode: str, *, seqscan: str | None) -> None:
    """How the triggers that write stages plan, and with them the foreign key that looks each contact up: once for all
    organizations, and by a key, although reading all of a table that looks empty seems cheapest."""
    for name in STAGES:
        op.execute(f"ALTER FUNCTION {name} SET plan_cache_mode = {mode}")
        op.execute(
            f"ALTER FUNCTION {name} " + (f"SET enable_seqscan = {seqscan}" if seqscan else "RESET enable_seqscan")
        )


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, (columns, where) in PARTIAL.items():
            op.create_index(
                f"{name}_partial", "contacts", columns, schema="networking",
                postgresql_concurrently=True, postgresql_where=where, if_not_exists=True,
            )  # fmt: skip
    _plan_stages("force_generic_plan", seqscan="off")
    for name in PARTIAL:
        op.drop_index(name, "contacts", schema="networking")
        op.execute(f"ALTER INDEX networking.{name}_partial RENAME TO {name}")


def downgrade() -> None:
    _plan_stages("force_custom_plan", seqscan=None)
    for name, (columns, _) in PARTIAL.items():
        op.drop_index(name, "contacts", schema="networking")
        op.create_index(name, "contacts", columns, schema="networking")
