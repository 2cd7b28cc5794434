"""Whatever changes what a credential may do is announced by the database itself, whoever changes it."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

CHANGING = (
    ("sessions", "user", "user_id", ("revoked_at", "expires_at", "second_factor_at")),
    ("users", "user", "id", ("is_active", "is_deleted", "is_admin", "password_hash")),
    ("memberships", "user", "user_id", ("role", "is_active")),
    ("role_grants", "user", "user_id", ("role_id", "team_id", "user_id")),
    ("team_members", "user", "user_id", ("team_id", "user_id")),
    ("roles", "organization", "organization_id", ("permissions", "is_deleted")),
    ("teams", "organization", "organization_id", ("is_deleted",)),
    ("api_keys", "organization", "organization_id", ("revoked_at", "expires_at", "scopes")),
    ("organizations", "organization", "id", ("is_active", "is_deleted")),
)
"""Table, whom a change or a row's end is about, the column that names them, and the columns whose change counts."""
GIVING = (("role_grants", "INSERT"), ("team_members", "INSERT"), ("operators", "INSERT"), ("operators", "UPDATE"))
"""Rows that change what somebody may do by being there: the somebody is their `user_id`."""
MANY = 50
"""Changes of more people than this, in one statement, are announced as a change of anybody."""

CHANGED = """
    SELECT DISTINCT to_jsonb(o) ->> TG_ARGV[1] AS whom FROM changed_old AS o JOIN changed_new AS n USING (id)
    WHERE EXISTS (
        SELECT FROM unnest(TG_ARGV[2]::text[]) AS watched
        WHERE to_jsonb(o) -> watched IS DISTINCT FROM to_jsonb(n) -> watched)
"""
FUNCTIONS = {
    "announce_changed": CHANGED,
    "announce_gone": "SELECT DISTINCT to_jsonb(o) ->> TG_ARGV[1] AS whom FROM changed_old AS o",
    "announce_given": "SELECT DISTINCT to_jsonb(n) ->> TG_ARGV[1] AS whom FROM changed_new AS n",
}


def function(name: str, changes: str) -> str:
    """Run as the system: who changes such a row need not be able to announce anything of their own."""
    return f"""
    CREATE FUNCTION core.{name}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        concerned text[];
    BEGIN
        SELECT array_agg(whom) INTO concerned FROM ({changes}) AS changes;
        IF cardinality(concerned) > {MANY} THEN
            PERFORM core.announce('principals', 'anybody');
        ELSE
            PERFORM core.announce('principals', TG_ARGV[0] || ':' || whom) FROM unnest(concerned) AS whom;
        END IF;
        RETURN NULL;
    END $$
    """


def watch(table: str, event: str, function: str, arguments: str, tables: str) -> None:
    op.execute(
        f"CREATE TRIGGER {function}_by_{event.lower()} AFTER {event} ON core.{table} REFERENCING {tables} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION core.{function}({arguments})"
    )


def upgrade() -> None:
    for name, changes in FUNCTIONS.items():
        op.execute(function(name, changes))
    old, new = "OLD TABLE AS changed_old", "NEW TABLE AS changed_new"
    for table, kind, column, columns in CHANGING:
        arguments = f"'{kind}', '{column}', '{{{','.join(columns)}}}'"
        watch(table, "UPDATE", "announce_changed", arguments, f"{old} {new}")
        watch(table, "DELETE", "announce_gone", arguments, old)
    for table, event in GIVING:
        watch(table, event, "announce_given", "'user', 'user_id'", new)
    for name in FUNCTIONS:
        op.own_by_system(f"core.{name}()")


def downgrade() -> None:
    for table, *_ in CHANGING:
        op.execute(f"DROP TRIGGER announce_changed_by_update ON core.{table}")
        op.execute(f"DROP TRIGGER announce_gone_by_delete ON core.{table}")
    for table, event in GIVING:
        op.execute(f"DROP TRIGGER announce_given_by_{event.lower()} ON core.{table}")
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION core.{name}()")
