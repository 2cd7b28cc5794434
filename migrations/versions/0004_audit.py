"""The audit trail: its table, the triggers that write it, the seals over it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from core.db.tenancy import OWNER_ROLE
from core.db.types import Xid8

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ORDERED_ID = (
    "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing "
    "substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), "
    "52, 1), 53, 1), 'hex')::uuid"
)
CUT_BYTES = 8192
SHOWN = f"""
    CREATE FUNCTION core.audit_shown(shown jsonb, hidden text[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(jsonb_object_agg(key, CASE
            WHEN key = ANY (hidden) AND value <> 'null' THEN '"[hidden]"'
            WHEN octet_length(value::text) > {CUT_BYTES} THEN to_jsonb(
                left(value #>> '{{}}', 1000) || ' [cut: ' || length(value #>> '{{}}') || ' characters, sha256 '
                || encode(sha256(convert_to(value #>> '{{}}', 'UTF8')), 'hex') || ']')
            ELSE value
        END), '{{}}')
        FROM jsonb_each(shown)
    $$
"""
"""What the trail shows of a row: not the values of hidden columns, and of very long ones the beginning and a hash."""


def shown(values: str) -> str:
    """Most rows have nothing to hide and nothing long: two cheap looks spare them the walk through their values."""
    return (
        f"CASE WHEN {values} ?| hidden OR pg_column_size({values}) > {CUT_BYTES} "
        f"THEN core.audit_shown({values}, hidden) ELSE {values} END"
    )


def written(changes: str, *, row: str, old: str, new: str, action: str) -> str:
    """The statement that writes `changes` down. `row` has the id and the organization of each."""
    return f"""
        INSERT INTO core.audit_logs (organization_id, table_name, record_id, action, old_values, new_values)
        SELECT trail, name, coalesce({row} ->> 'id', {row} ->> 'user_id')::uuid, {action}, {old}, {new}
        FROM {changes}, LATERAL unnest(CASE owner
            WHEN 'tenant' THEN ARRAY[({row} ->> 'organization_id')::uuid]
            WHEN 'organization' THEN ARRAY[({row} ->> 'id')::uuid]
            ELSE core.audit_trails_of_person({row}) END) AS trail
    """


def read(rows: str) -> str:
    """Each row as JSON, once, with what tells it apart from the others of the statement."""
    return (
        "(SELECT j, CASE owner WHEN 'tenant' THEN (j ->> 'organization_id') || (j ->> 'id') "
        f"ELSE coalesce(j ->> 'id', j ->> 'user_id') END AS key FROM (SELECT to_jsonb(r) - omitted AS j FROM {rows} r "
        "OFFSET 0) read)"
    )


UPDATED = f"""
    (SELECT o.j AS old, n.j AS new, coalesce(n.j, o.j) AS either
     FROM {read("old_rows")} AS o FULL JOIN {read("new_rows")} AS n ON n.key = o.key
     WHERE n.j IS DISTINCT FROM o.j OFFSET 0) AS c
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(e.key, c.old -> e.key) AS old, jsonb_object_agg(e.key, c.new -> e.key) AS new
        FROM jsonb_each(c.either) AS e WHERE (c.old -> e.key) IS DISTINCT FROM (c.new -> e.key)
    ) AS d
"""
"""Old and new rows side by side. One that is moved to another key, or organization, ended here and began there."""
UPDATE_ACTION = """
    CASE WHEN c.old IS NULL THEN 'create' WHEN c.new IS NULL THEN 'delete'
         WHEN d.new -> 'is_deleted' = 'true' THEN 'delete' WHEN d.new -> 'is_deleted' = 'false' THEN 'restore'
         ELSE 'update' END
"""
UPDATED_OLD, UPDATED_NEW = (f"CASE WHEN c.{side} IS NOT NULL THEN {shown(f'd.{side}')} END" for side in ("old", "new"))
AUDIT = f"""
    CREATE FUNCTION core.audit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        owner CONSTANT text := TG_ARGV[0];
        hidden CONSTANT text[] := TG_ARGV[1]::text[];
        omitted CONSTANT text[] := TG_ARGV[2]::text[];
        name CONSTANT text := TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
    BEGIN
        IF TG_OP = 'INSERT' THEN
            {written(f"{read('new_rows')} AS c", row="c.j", old="NULL", new=shown("c.j"), action="'create'")};
        ELSIF TG_OP = 'DELETE' THEN
            {written(f"{read('old_rows')} AS c", row="c.j", old=shown("c.j"), new="NULL", action="'delete'")};
        ELSE
            {written(UPDATED, row="c.either", old=UPDATED_OLD, new=UPDATED_NEW, action=UPDATE_ACTION)};
        END IF;
        RETURN NULL;
    END $$
"""
TRAILS_OF_PERSON = """
    CREATE FUNCTION core.audit_trails_of_person(person jsonb) RETURNS uuid[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(
            (SELECT array_agg(place.organization_id) FROM core.memberships AS place
             WHERE place.user_id = coalesce(person ->> 'user_id', person ->> 'id')::uuid),
            ARRAY[coalesce(person ->> 'organization_id', '00000000-0000-0000-0000-000000000000')::uuid])
    $$
"""
"""A person's row is no tenant's: each organization that they are in may know of its changes. Who is in none yet, or no
more, has the organization that they came with, or nobody's trail."""
NOTE_ACCESS = """
    CREATE FUNCTION core.note_access(entity text, record uuid, details jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
        INSERT INTO core.audit_logs (organization_id, table_name, record_id, action, metadata)
        VALUES (nullif(current_setting('app.organization_id', true), '')::uuid, entity, record, 'read', details)
    $$
"""
"""The one thing that the application may add to the trail by itself, and to its own tenant's alone."""

TENANT_TABLES = {
    "memberships": {},
    "data_keys": {"hidden": ("wrapped",)},
    "api_keys": {"hidden": ("key_hash",), "omitted": ("last_used_at",)},
    "teams": {},
    "team_members": {},
    "roles": {},
    "role_grants": {},
    "invitations": {"hidden": ("token_hash",)},
}
PLATFORM_TABLES = {
    "organizations": {"owner": "organization"},
    "users": {"owner": "person", "hidden": ("password_hash",), "omitted": ("last_login",)},
    "sessions": {"omitted": ("last_used_at",)},
    "totp_factors": {"owner": "person", "hidden": ("seed",), "omitted": ("last_step",)},
}


def of_transaction(name: str, kind: str) -> sa.TextClause:
    return sa.text(f"nullif(current_setting('app.{name}', true), '')::{kind}")


def make_logs() -> None:
    op.create_table(
        "audit_logs",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text(ORDERED_ID), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.Column("user_id", sa.Uuid(), server_default=of_transaction("user_id", "uuid"), nullable=True),
        sa.Column(
            "impersonator_id", sa.Uuid(), server_default=of_transaction("impersonator_id", "uuid"), nullable=True
        ),
        sa.Column("api_key_id", sa.Uuid(), server_default=of_transaction("api_key_id", "uuid"), nullable=True),
        sa.Column("address", sa.Text(), server_default=of_transaction("address", "text"), nullable=True),
        sa.Column("correlation_id", sa.Text(), server_default=of_transaction("correlation_id", "text"), nullable=True),
        sa.Column("job_id", sa.Uuid(), server_default=of_transaction("job_id", "uuid"), nullable=True),
        sa.Column("job_name", sa.Text(), server_default=of_transaction("job_name", "text"), nullable=True),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("old_values", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("new_values", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint(
            "action IN ('create', 'update', 'delete', 'restore', 'read')", name=op.f("ck_audit_logs_action")
        ),
        sa.PrimaryKeyConstraint("organization_id", "xid", "sequence", name=op.f("pk_audit_logs")),
        schema="core",
    )
    for name, columns in (("created", []), ("record", ["record_id"]), ("user", ["user_id"])):
        keys = ["organization_id", *columns, "created_at", "id"]
        op.create_index(f"ix_audit_logs_{name}", "audit_logs", keys, unique=False, schema="core")
    op.guard_tenant_table("core.audit_logs", app=("SELECT",), system=("SELECT", "INSERT"), audited=False)


def make_seals() -> None:
    op.create_table(
        "audit_seals",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("through_xid", Xid8(), server_default=sa.text("'0'::xid8"), nullable=False),
        sa.Column("through_sequence", sa.BigInteger(), nullable=False),
        sa.Column("below_xid", Xid8(), server_default=sa.text("'0'::xid8"), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("key_name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("statement_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("organization_id", "number", name=op.f("pk_audit_seals")),
        schema="core",
    )
    op.create_index("ix_audit_seals_below_xid", "audit_seals", ["below_xid"], unique=False, schema="core")
    op.guard_tenant_table("core.audit_seals", app=("SELECT",), system=("SELECT", "INSERT"), audited=False)


def make_functions() -> None:
    for function in (SHOWN, TRAILS_OF_PERSON, AUDIT, NOTE_ACCESS):
        op.execute(function)
    op.own_by_system("core.note_access(text, uuid, jsonb)")
    op.own_by_system("core.audit()", caller=OWNER_ROLE)  # the app could hang it on a temporary table, and forge entries


def upgrade() -> None:
    op.add_column(
        "outbox",
        sa.Column("origin", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        schema="core",
    )
    make_logs()
    make_seals()
    make_functions()
    for table, rule in (TENANT_TABLES | PLATFORM_TABLES).items():
        op.audit_table(f"core.{table}", **rule)


def downgrade() -> None:
    for table in TENANT_TABLES | PLATFORM_TABLES:
        op.leave_unaudited(f"core.{table}")
    op.execute("DROP FUNCTION core.note_access(text, uuid, jsonb)")
    op.execute("DROP FUNCTION core.audit()")
    op.execute("DROP FUNCTION core.audit_trails_of_person(jsonb)")
    op.execute("DROP FUNCTION core.audit_shown(jsonb, text[])")
    op.drop_table("audit_seals", schema="core")
    op.drop_table("audit_logs", schema="core")
    op.drop_column("outbox", "origin", schema="core")
