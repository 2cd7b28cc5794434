"""The stages that contacts go through, written down by triggers whatever changes a contact."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0040"
down_revision = "0052"
branch_labels = None
depends_on = None

STAGES = "('target', 'contact', 'plug')"
SAID = "coalesce(nullif(current_setting('app.stage', true), ''), '{}')::jsonb"
ACTOR = "nullif(current_setting('app.user_id', true), '')::uuid"
ORDERED_ID = (
    "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing "
    "substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), "
    "52, 1), 53, 1), 'hex')::uuid"
)
COLUMNS = (
    "organization_id, id, contact_id, stage, from_stage, entered_at, reason, moved_by, source, created_at, updated_at"
)
FRESH_PLANS = "SET plan_cache_mode = force_custom_plan"
"""A bulk load into tables that look empty would otherwise keep the plan of its first rows, also for the foreign key,
and read the growing table for each row: 100,000 contacts took 100 seconds instead of 30."""
BEGIN_STAGES = f"""
    CREATE FUNCTION networking.begin_stages() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp {FRESH_PLANS}
    AS $$
    DECLARE
        said CONSTANT jsonb := {SAID};
    BEGIN
        INSERT INTO networking.contact_stages ({COLUMNS})
        SELECT c.organization_id, {ORDERED_ID}, c.id, c.contact_type, NULL, c.created_at, NULL, {ACTOR},
               coalesce(said ->> 'source', 'api'), c.created_at, c.created_at
        FROM new_contacts AS c;
        RETURN NULL;
    END $$
"""
CHANGE_STAGE = f"""
    CREATE FUNCTION networking.change_stage() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp {FRESH_PLANS}
    AS $$
    DECLARE
        said CONSTANT jsonb := {SAID};
        moment timestamptz := coalesce((said ->> 'at')::timestamptz, statement_timestamp());
        ended timestamptz;
    BEGIN
        IF said ->> 'source' = 'undo' THEN
            RETURN NULL;
        END IF;
        UPDATE networking.contact_stages
        SET left_at = greatest(moment, entered_at), to_stage = NEW.contact_type,
            version = version + 1, updated_at = moment
        WHERE organization_id = NEW.organization_id AND contact_id = NEW.id AND left_at IS NULL
        RETURNING left_at INTO ended;
        INSERT INTO networking.contact_stages ({COLUMNS})
        VALUES (NEW.organization_id, {ORDERED_ID}, NEW.id, NEW.contact_type, OLD.contact_type,
                coalesce(ended, moment), said -> 'reasons' ->> NEW.id::text, {ACTOR},
                coalesce(said ->> 'source', 'api'), moment, moment);
        RETURN NULL;
    END $$
"""
"""`greatest`, as two machines' clocks may differ: no stay ends before it began."""


def upgrade() -> None:
    op.create_table(
        "contact_stages",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("from_stage", sa.Text(), nullable=True),
        sa.Column("to_stage", sa.Text(), nullable=True),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("moved_by", sa.Uuid(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *(
            sa.CheckConstraint(f"{column} IN {STAGES}", name=op.f(f"ck_contact_stages_{column}"))
            for column in ("stage", "from_stage", "to_stage")
        ),
        sa.CheckConstraint(
            "source IN ('api', 'import', 'revert', 'merge', 'backfill')", name=op.f("ck_contact_stages_source")
        ),
        sa.CheckConstraint("left_at >= entered_at", name=op.f("ck_contact_stages_left_at")),
        sa.ForeignKeyConstraint(
            ["organization_id", "contact_id"],
            ["networking.contacts.organization_id", "networking.contacts.id"],
            name=op.f("fk_contact_stages_organization_id_contact_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "id", name=op.f("pk_contact_stages")),
        schema="networking",
    )
    op.guard_tenant_table("networking.contact_stages", audited=False)
    op.create_index(
        "uq_contact_stages_open",
        "contact_stages",
        ["organization_id", "contact_id"],
        unique=True,
        schema="networking",
        postgresql_where=sa.text("left_at IS NULL"),
    )
    for name, columns in (("contact", ["contact_id", "entered_at", "id"]), ("entered", ["entered_at"])):
        op.create_index(
            f"ix_contact_stages_{name}", "contact_stages", ["organization_id", *columns], schema="networking"
        )
    op.add_column(
        "contact_merges",
        sa.Column("stages", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        schema="networking",
    )
    op.execute(BEGIN_STAGES)
    op.execute(CHANGE_STAGE)
    op.execute(
        "CREATE TRIGGER stage_begins AFTER INSERT ON networking.contacts REFERENCING NEW TABLE AS new_contacts "
        "FOR EACH STATEMENT EXECUTE FUNCTION networking.begin_stages()"
    )
    op.execute(
        "CREATE TRIGGER stage_changes AFTER UPDATE OF contact_type ON networking.contacts FOR EACH ROW "
        "WHEN (OLD.contact_type IS DISTINCT FROM NEW.contact_type) EXECUTE FUNCTION networking.change_stage()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER stage_changes ON networking.contacts")
    op.execute("DROP TRIGGER stage_begins ON networking.contacts")
    op.execute("DROP FUNCTION networking.change_stage()")
    op.execute("DROP FUNCTION networking.begin_stages()")
    op.drop_column("contact_merges", "stages", schema="networking")
    op.drop_table("contact_stages", schema="networking")
