"""Contacts that were there before their stages were written down are at one, too.

A revision of its own, behind the triggers: what moves meanwhile has a stay already and is left out, and as nobody
waits for this one, it may take its time. Running it again adds nothing.
"""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

BACKFILL = """
    INSERT INTO networking.contact_stages
        (organization_id, id, contact_id, stage, entered_at, moved_by, source, created_at, updated_at)
    SELECT c.organization_id, c.id, c.id, c.contact_type, c.created_at, c.created_by, 'backfill', now(), now()
    FROM networking.contacts AS c
    WHERE NOT EXISTS (
        SELECT FROM networking.contact_stages AS s
        WHERE s.organization_id = c.organization_id AND s.contact_id = c.id AND s.left_at IS NULL
    )
    ON CONFLICT DO NOTHING
"""
"""The first stay of each bears the contact's own id: it is unique, and in the order of time."""


def upgrade() -> None:
    op.execute("SET ROLE plugs_system")  # the owner sees no rows of a guarded table
    op.execute(BACKFILL)
    op.execute("SET ROLE plugs_owner")


def downgrade() -> None:
    """What was filled in goes with the table."""
