"""The walls as PostgreSQL has them: every table, key, policy, grant and function, against what each has to be.

What is exempt is so by name; whatever these lists don't know fails.
"""

from collections.abc import AsyncGenerator

import asyncpg
import pytest

from core.db.database import connect
from core.db.migrations import VERSION_TABLE
from core.db.models import Base
from core.db.tenancy import APP_ROLE, OWNER_ROLE, SYSTEM_ROLE, TenantConnection
from core.runtime import Runtime
from core.testing.catalogue import (
    OURS,
    ROWS,
    definer_faults,
    definer_functions,
    grants,
    keys_across_tenants,
    other_policies,
    policies,
    references_across_tenants,
    references_to,
    relations,
    table_grants,
    tables,
    unguardable,
    unguarded,
    without_organization,
)

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
    "core.oidc_identities",
    "core.oidc_attempts",
    "core.schedules",
}
"""Tables that are no tenant's, or are the tenant. What the application may do with each is in `APP_GRANTS`."""
APP_GRANTS = {"core.organizations": {"SELECT"}}
APP_COLUMN_GRANTS = {
    "core.users": ("SELECT", {"password_hash"}),
    "core.organizations": (
        "UPDATE",
        {"id", "slug", "subscription_plan", "is_active", "created_at", "is_deleted", "deleted_at", "deletes_at"}
        | {"suspended_at", "suspended_reason", "purged_at", "purged_rows"},
    ),
    "core.memberships": ("UPDATE", {"organization_id", "id", "user_id", "created_at"}),
}
"""What the application may do with a table's columns, and the columns that it may not do it with."""
APP_PLATFORM_POLICIES = {"core.organizations", "core.users"}
DEFINER_FUNCTIONS = {
    "networking.find_contacts(text[])": APP_ROLE,
    "networking.find_matches(uuid[],text[],text[],text[])": APP_ROLE,
    "networking.find_similar(uuid[])": APP_ROLE,
    "networking.search_alike(text[])": APP_ROLE,
    "networking.search_contacts(text[],text,text)": APP_ROLE,
    "core.note_access(text,uuid,jsonb)": APP_ROLE,
    "core.announce(text,text)": APP_ROLE,
    "core.announce_changed()": APP_ROLE,
    "core.announce_given()": APP_ROLE,
    "core.announce_gone()": APP_ROLE,
    "core.audit()": OWNER_ROLE,
}
"""They see past row security, so each has been read with that in mind; and who may call each."""

NO_EXTENSIONS = "NOT EXISTS (SELECT FROM pg_depend WHERE objid = {oid} AND deptype = 'e')"


@pytest.fixture
async def catalogue(runtime: Runtime) -> AsyncGenerator[TenantConnection]:
    """A connection of the login that migrates, with every module's models imported."""
    connection = await connect(runtime.settings.owner_url, role=None, name="catalogue")
    yield connection
    await connection.close()


async def tenant_tables(catalogue: TenantConnection) -> set[str]:
    return await tables(catalogue) - PLATFORM_TABLES


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
    assert await unguarded(catalogue, await tables(catalogue)) == []


async def test_a_tenant_tables_rows_name_their_organization(catalogue: TenantConnection) -> None:
    assert await without_organization(catalogue, await tenant_tables(catalogue)) == []


async def test_a_tenant_tables_keys_start_with_the_tenant(catalogue: TenantConnection) -> None:
    assert await keys_across_tenants(catalogue, await tenant_tables(catalogue)) == []


async def test_a_reference_to_a_tenant_table_carries_the_tenant(catalogue: TenantConnection) -> None:
    tenants = await tenant_tables(catalogue)

    assert await references_to(catalogue, tenants) != []
    assert await references_across_tenants(catalogue, tenants) == []


async def test_a_tenant_table_has_the_two_policies_and_no_other(catalogue: TenantConnection) -> None:
    assert await other_policies(catalogue, await tenant_tables(catalogue)) == []


async def test_a_platform_table_shows_the_application_only_what_its_tenant_reaches(catalogue: TenantConnection) -> None:
    found = await policies(catalogue)

    of_app = [(name, rule) for name in sorted(PLATFORM_TABLES) for rule in found[name] if rule[0] != [SYSTEM_ROLE]]
    assert [name for name, _ in of_app] == sorted(APP_PLATFORM_POLICIES)
    for _, (roles, command, _, using, check) in of_app:
        assert roles == [APP_ROLE]
        assert "current_setting('app.organization_id'::text, true)" in using
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


async def test_the_grants_are_exactly_these(catalogue: TenantConnection) -> None:
    """No TRUNCATE, which ignores row security, no REFERENCES, no TRIGGER; nothing for anybody else."""
    versions = {row["name"] for row in await relations(catalogue, "r") if row["relname"] == VERSION_TABLE}

    found = await grants(catalogue)

    expected = table_grants(await tenant_tables(catalogue))
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


async def test_whatever_shows_rows_has_row_security(catalogue: TenantConnection) -> None:
    assert await unguardable(catalogue) == []


async def test_only_the_functions_on_the_list_see_past_row_security(catalogue: TenantConnection) -> None:
    found = await definer_functions(catalogue)

    assert {row["name"] for row in found} == set(DEFINER_FUNCTIONS)
    assert definer_faults(found, DEFINER_FUNCTIONS) == []
