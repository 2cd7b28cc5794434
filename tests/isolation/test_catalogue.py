"""The walls as PostgreSQL has them: every table, key, policy, grant and function, against what each has to be.

What is exempt is so by name; whatever these lists don't know fails.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import asyncpg
import pytest

from core.db.database import connect
from core.db.migrations import VERSION_TABLE
from core.db.models import Base
from core.db.tenancy import APP_ROLE, OWNER_ROLE, SYSTEM_ROLE, TenantConnection
from core.runtime import Runtime

PLATFORM_TABLES = {
    "core.announcements",
    "core.organizations",
    "core.operators",
    "core.impersonations",
    "core.users",
    "core.sessions",
    "core.refresh_tokens",
    "core.one_time_tokens",
    "core.signing_keys",
    "core.sign_in_attempts",
    "core.recovery_codes",
    "core.totp_factors",
    "core.schedules",
}
"""Tables that are no tenant's, or are the tenant. What the application may do with each is in `APP_GRANTS`."""
APP_GRANTS = {"core.organizations": {"SELECT"}, "core.announcements": {"SELECT"}}
APP_COLUMN_GRANTS = {
    "core.users": ("SELECT", {"password_hash"}),
    "core.organizations": (
        "UPDATE",
        {"id", "slug", "subscription_plan", "is_active", "created_at", "is_deleted", "deleted_at", "deletes_at"}
        | {"suspended_at", "suspended_reason", "purged_at", "purged_rows"},
    ),
    "core.announcements": ("UPDATE", {"topic"}),
    "core.memberships": ("UPDATE", {"organization_id", "id", "user_id", "created_at"}),
}
"""What the application may do with a table's columns, and the columns that it may not do it with."""
APP_PLATFORM_POLICIES = {"core.announcements", "core.organizations", "core.users"}
NO_TENANTS_BUSINESS = {"core.announcements"}
"""Platform tables that are the same to every tenant, and tell of none: counters by topic."""
DEFINER_FUNCTIONS = {
    "networking.find_contacts(text[])": APP_ROLE,
    "core.note_access(text,uuid,jsonb)": APP_ROLE,
    "core.audit()": OWNER_ROLE,
}
"""They see past row security, so each has been read with that in mind; and who may call each."""

ROWS = {"SELECT", "INSERT", "UPDATE", "DELETE"}
MINE = "(organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)"
"""The predicate of a tenant table's policy, as PostgreSQL writes it."""
OURS = "n.nspname !~ '^(pg_|information_schema$)'"
"""Every schema that PostgreSQL didn't bring: a table that strays out of its module's schema is seen too."""
NO_EXTENSIONS = "NOT EXISTS (SELECT FROM pg_depend WHERE objid = {oid} AND deptype = 'e')"

type Rows = list[asyncpg.Record]


@pytest.fixture
async def catalogue(runtime: Runtime) -> AsyncGenerator[TenantConnection]:
    """A connection of the login that migrates, with every module's models imported."""
    connection = await connect(runtime.settings.owner_url, role=None, name="catalogue")
    yield connection
    await connection.close()


async def relations(catalogue: TenantConnection, kinds: str) -> Rows:
    return await catalogue.fetch(
        f"""SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind::text AS kind, c.relname,
                   c.relrowsecurity, c.relforcerowsecurity, coalesce(c.reloptions, '{{}}') AS options
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE {OURS} AND c.relkind::text = ANY(string_to_array($1, NULL)) ORDER BY 2""",
        kinds,
    )


async def tables(catalogue: TenantConnection) -> set[str]:
    """Every table, partitioned or not, but the version tables of the migrations."""
    return {row["name"] for row in await relations(catalogue, "rp") if row["relname"] != VERSION_TABLE}


async def tenant_tables(catalogue: TenantConnection) -> set[str]:
    return await tables(catalogue) - PLATFORM_TABLES


def named(rows: Iterable[asyncpg.Record], only: set[str]) -> Rows:
    return [row for row in rows if row["table"] in only]


async def test_every_table_is_a_tenants_or_on_the_list(catalogue: TenantConnection) -> None:
    in_models = {f"{table.schema}.{table.name}": table for table in Base.metadata.tables.values()}
    tenants_in_models = {name for name, table in in_models.items() if table.info.get("tenant")}

    found = await tables(catalogue)

    assert found - PLATFORM_TABLES == tenants_in_models
    assert set(in_models) - tenants_in_models == PLATFORM_TABLES
    assert found == set(in_models)


async def test_every_table_lives_in_a_modules_schema(catalogue: TenantConnection, runtime: Runtime) -> None:
    schemas = {migration_set.name for migration_set in runtime.migration_sets}

    everything = await relations(catalogue, "rpvmfS")

    assert [row["name"] for row in everything if row["name"].split(".")[0] not in schemas] == []
    versions = {row["name"] for row in everything if row["relname"] == VERSION_TABLE}
    assert versions == {f"{schema}.{VERSION_TABLE}" for schema in schemas}


async def test_every_table_is_under_forced_row_security(catalogue: TenantConnection) -> None:
    found = await relations(catalogue, "rp")

    guarded = {row["name"] for row in found if row["relrowsecurity"] and row["relforcerowsecurity"]}
    assert guarded == await tables(catalogue)


async def test_a_tenant_tables_rows_name_their_organization(catalogue: TenantConnection) -> None:
    columns = await catalogue.fetch(
        f"""SELECT n.nspname || '.' || c.relname AS table FROM pg_attribute a
            JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE {OURS} AND a.attname = 'organization_id' AND a.attnotnull AND a.atttypid = 'uuid'::regtype"""
    )

    assert await tenant_tables(catalogue) - {row["table"] for row in columns} == set()


async def test_a_tenant_tables_keys_start_with_the_tenant(catalogue: TenantConnection) -> None:
    """A key across organizations would tell one what another holds. An exclusion constraint is a key as well."""
    indexes = await catalogue.fetch(
        f"""SELECT n.nspname || '.' || c.relname AS table, i.indexrelid::regclass::text AS name, i.indisprimary,
                   i.indisunique OR i.indisexclusion AS is_key, a.attname AS first
            FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE {OURS}"""
    )
    tenants = await tenant_tables(catalogue)

    tenant_last = [r["name"] for r in named(indexes, tenants) if r["is_key"] and r["first"] != "organization_id"]
    with_primary_key = {r["table"] for r in indexes if r["indisprimary"]}
    with_tenant_first = {r["table"] for r in indexes if r["first"] == "organization_id"}

    assert tenant_last == []
    assert tenants - with_primary_key == set()
    assert tenants - with_tenant_first == set()


async def test_a_reference_to_a_tenant_table_carries_the_tenant(catalogue: TenantConnection) -> None:
    """PostgreSQL checks foreign keys past row security."""
    references = await catalogue.fetch(
        f"""SELECT k.conname AS name, n.nspname || '.' || c.relname AS table, cardinality(k.conkey) AS columns,
                   (SELECT attname FROM pg_attribute WHERE attrelid = k.conrelid AND attnum = k.conkey[1]) AS first,
                   (SELECT attname FROM pg_attribute WHERE attrelid = k.confrelid AND attnum = k.confkey[1]) AS target
            FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE k.contype = 'f' AND {OURS}"""
    )
    tenant = ("organization_id", "organization_id")

    to_tenant_tables = named(references, await tenant_tables(catalogue))

    assert to_tenant_tables != []
    assert [r["name"] for r in to_tenant_tables if (r["first"], r["target"]) != tenant or r["columns"] < 2] == []


async def policies(catalogue: TenantConnection) -> dict[str, list[tuple[Any, ...]]]:
    found = await catalogue.fetch(
        f"""SELECT n.nspname || '.' || c.relname AS table, p.polpermissive, p.polcmd::text,
                   ARRAY(SELECT CASE role WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(role)::text END
                         FROM unnest(p.polroles) AS role) AS roles,
                   pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check
            FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE {OURS} ORDER BY roles"""
    )
    by_table: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in found:
        by_table[row["table"]].append((row["roles"], row["polcmd"], row["polpermissive"], row["using"], row["check"]))
    return by_table


async def test_a_tenant_table_has_the_two_policies_and_no_other(catalogue: TenantConnection) -> None:
    of_app, of_system = ([APP_ROLE], "*", True, MINE, MINE), ([SYSTEM_ROLE], "*", True, "true", "true")

    found = await policies(catalogue)

    wrong = {name: found[name] for name in await tenant_tables(catalogue) if found[name] != [of_app, of_system]}
    assert wrong == {}


async def test_a_platform_table_shows_the_application_only_what_its_tenant_reaches(catalogue: TenantConnection) -> None:
    found = await policies(catalogue)

    of_app = [(name, rule) for name in sorted(PLATFORM_TABLES) for rule in found[name] if rule[0] != [SYSTEM_ROLE]]
    assert [name for name, _ in of_app] == sorted(APP_PLATFORM_POLICIES)
    for name, (roles, command, _, using, check) in of_app:
        assert roles == [APP_ROLE]
        assert name in NO_TENANTS_BUSINESS or "current_setting('app.organization_id'::text, true)" in using
        assert check == (None if command == "r" else using)


async def test_everything_is_the_owners(catalogue: TenantConnection) -> None:
    found = await catalogue.fetch(
        f"""SELECT o.name, pg_get_userbyid(o.owner)::text AS owner FROM (
                SELECT n.nspname || '.' || relname, relowner, c.oid, n.nspname
                FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                UNION ALL SELECT p.oid::regprocedure::text, proowner, p.oid, n.nspname
                FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
                UNION ALL SELECT t.oid::regtype::text, typowner, t.oid, n.nspname
                FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
                UNION ALL SELECT nspname, nspowner, oid, nspname FROM pg_namespace WHERE nspname <> 'public'
            ) AS o(name, owner, oid, schema), LATERAL (SELECT o.schema) AS n(nspname)
            WHERE {OURS} AND {NO_EXTENSIONS.format(oid="o.oid")}"""
    )

    others = {(row["name"], row["owner"]) for row in found if row["owner"] != OWNER_ROLE}

    assert others <= {(name, SYSTEM_ROLE) for name in DEFINER_FUNCTIONS}
    assert len(found) > len(others)


async def grants(catalogue: TenantConnection) -> dict[tuple[str, str], set[str]]:
    """Privileges by relation and grantee; those that may be handed on are marked with a star."""
    found = await catalogue.fetch(
        f"""SELECT n.nspname || '.' || c.relname AS name,
                   CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END AS grantee,
                   a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END AS privilege
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a
            WHERE {OURS} AND a.grantee <> c.relowner"""
    )
    by_pair: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in found:
        by_pair[row["name"], row["grantee"]].add(row["privilege"])
    return dict(by_pair)


def app_privileges(name: str) -> set[str]:
    """What the model says that the application may do with its own rows."""
    return set(Base.metadata.tables[name].info.get("app", ROWS))


def system_privileges(name: str) -> set[str]:
    return set(Base.metadata.tables[name].info.get("system", ROWS))


async def test_the_grants_are_exactly_these(catalogue: TenantConnection) -> None:
    """No TRUNCATE, which ignores row security, no REFERENCES, no TRIGGER; nothing for anybody else."""
    versions = {row["name"] for row in await relations(catalogue, "r") if row["relname"] == VERSION_TABLE}

    found = await grants(catalogue)

    expected = {(name, SYSTEM_ROLE): system_privileges(name) for name in await tenant_tables(catalogue)}
    expected |= {(name, APP_ROLE): app_privileges(name) for name in await tenant_tables(catalogue)}
    expected |= {(name, role): {"SELECT"} for name in versions for role in (APP_ROLE, SYSTEM_ROLE)}
    expected |= {(name, SYSTEM_ROLE): ROWS for name in PLATFORM_TABLES}
    expected |= {(name, APP_ROLE): privileges for name, privileges in APP_GRANTS.items()}
    assert found == expected


async def test_grants_on_columns_are_exactly_these(catalogue: TenantConnection) -> None:
    columns = await catalogue.fetch(
        f"""SELECT n.nspname || '.' || c.relname AS name, a.attname, p.privilege_type,
                   CASE p.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(p.grantee)::text END AS grantee
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
                 aclexplode(a.attacl) AS p WHERE {OURS}"""
    )

    found = {(row["name"], row["grantee"], row["privilege_type"], row["attname"]) for row in columns}

    assert found == {
        (name, APP_ROLE, privilege, column.name)
        for name, (privilege, kept_back) in APP_COLUMN_GRANTS.items()
        for column in Base.metadata.tables[name].columns
        if column.name not in kept_back
    }


@pytest.mark.parametrize(
    "query",
    ["SELECT FROM core.sessions", "SELECT FROM core.refresh_tokens", "SELECT password_hash FROM core.users"],
)
async def test_the_application_can_not_read_what_signing_in_needs(runtime: Runtime, query: str) -> None:
    connection = await connect(runtime.settings.database_url, role=APP_ROLE, name="app")

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch(query)

    await connection.close()


@pytest.mark.parametrize("role", [APP_ROLE, SYSTEM_ROLE])
async def test_a_serving_role_has_no_power_of_its_own(catalogue: TenantConnection, role: str) -> None:
    powers = await catalogue.fetchrow(
        """SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb, rolreplication
           FROM pg_roles WHERE rolname = $1""",
        role,
    )
    memberships = await catalogue.fetch("SELECT roleid FROM pg_auth_members WHERE member = $1::regrole", role)

    assert powers is not None
    assert set(powers.values()) == {False}
    assert memberships == []


async def test_the_application_owns_nothing(catalogue: TenantConnection) -> None:
    owned = await catalogue.fetch(
        "SELECT classid::regclass, objid FROM pg_shdepend WHERE deptype = 'o' AND refobjid = $1::regrole", APP_ROLE
    )

    assert owned == []


async def test_a_serving_role_can_only_enter_a_schema(catalogue: TenantConnection, runtime: Runtime) -> None:
    found = await catalogue.fetch(
        f"""SELECT n.nspname AS name, a.privilege_type AS privilege,
                   CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END AS grantee
            FROM pg_namespace n, aclexplode(n.nspacl) AS a WHERE {OURS} AND a.grantee <> n.nspowner"""
    )

    entered = {(row["name"], row["grantee"], row["privilege"]) for row in found}

    expected = {(s.name, role, "USAGE") for s in runtime.migration_sets for role in (APP_ROLE, SYSTEM_ROLE)}
    assert entered == expected | {("public", "PUBLIC", "USAGE")}


async def test_there_are_no_materialized_views_and_no_foreign_tables(catalogue: TenantConnection) -> None:
    """Neither can have row security."""
    assert [row["name"] for row in await relations(catalogue, "mf")] == []


async def test_every_view_asks_as_its_caller(catalogue: TenantConnection) -> None:
    views = await relations(catalogue, "v")

    assert [row["name"] for row in views if "security_invoker=true" not in row["options"]] == []


async def test_only_the_functions_on_the_list_see_past_row_security(catalogue: TenantConnection) -> None:
    functions = await catalogue.fetch(
        f"""SELECT p.oid::regprocedure::text AS name, coalesce(p.proconfig, '{{}}') AS config, p.proowner,
                   ARRAY(SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee)::text END
                         FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
                         WHERE grantee <> p.proowner) AS callers
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {OURS} AND p.prosecdef"""
    )

    assert {row["name"] for row in functions} == set(DEFINER_FUNCTIONS)
    for row in functions:
        assert row["config"] == ["search_path=pg_catalog, pg_temp"]
        assert row["callers"] == [DEFINER_FUNCTIONS[row["name"]]]
