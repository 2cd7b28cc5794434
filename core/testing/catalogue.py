"""The walls as PostgreSQL has them: what each tenant table has to have, read from the catalogue of a live database.

Each check takes the tables that it is about and returns a sentence for each fault. The test of our own catalogue and
the conformance kit ask the same ones.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import asyncpg

from core.db.audit import BOOKKEEPING, TRIGGERS, audit_rule
from core.db.migrations import VERSION_TABLE
from core.db.models import Base
from core.db.tenancy import APP_ROLE, ROW_PRIVILEGES, SYSTEM_ROLE, TenantConnection

ROWS: set[str] = set(ROW_PRIVILEGES)
MINE = "(organization_id = (NULLIF(current_setting('app.organization_id'::text, true), ''::text))::uuid)"
"""The predicate of a tenant table's policy, as PostgreSQL writes it."""
OURS = "n.nspname !~ '^(pg_|information_schema$)'"
"""Every schema that PostgreSQL didn't bring: a table that strays out of its module's schema is seen too."""
SEARCH_PATH = ["search_path=pg_catalog, pg_temp"]

type Catalogue = TenantConnection
"""A connection of the login that migrates."""
type Records = list[asyncpg.Record]
type Tables = Collection[str]
"""Qualified names."""


async def relations(catalogue: Catalogue, kinds: str) -> Records:
    return await catalogue.fetch(
        f"""SELECT c.oid, n.nspname || '.' || c.relname AS name, c.relkind::text AS kind, c.relname,
                   c.relrowsecurity, c.relforcerowsecurity, coalesce(c.reloptions, '{{}}') AS options
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE {OURS} AND c.relkind::text = ANY(string_to_array($1, NULL)) ORDER BY 2""",
        kinds,
    )


async def tables(catalogue: Catalogue) -> set[str]:
    """Every table, partitioned or not, but the version tables of the migrations."""
    return {row["name"] for row in await relations(catalogue, "rp") if row["relname"] != VERSION_TABLE}


async def table_faults(catalogue: Catalogue, only: Tables) -> list[str]:
    """Whatever a tenant table lacks of the walls."""
    checks = (
        unguarded,
        without_organization,
        keys_across_tenants,
        references_across_tenants,
        other_policies,
        other_grants,
        other_trails,
    )
    return [fault for check in checks for fault in await check(catalogue, only)]


async def unguarded(catalogue: Catalogue, only: Tables) -> list[str]:
    found = await relations(catalogue, "rp")
    forced = {row["name"] for row in found if row["relrowsecurity"] and row["relforcerowsecurity"]}
    return [f"{name} is not under forced row security" for name in sorted(set(only) - forced)]


async def without_organization(catalogue: Catalogue, only: Tables) -> list[str]:
    columns = await catalogue.fetch(
        f"""SELECT n.nspname || '.' || c.relname AS table FROM pg_attribute a
            JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE {OURS} AND a.attname = 'organization_id' AND a.attnotnull AND a.atttypid = 'uuid'::regtype"""
    )
    missing = set(only) - {row["table"] for row in columns}
    return [f"{name} has no organization_id that is a UUID and never null" for name in sorted(missing)]


async def keys_across_tenants(catalogue: Catalogue, only: Tables) -> list[str]:
    """A key across organizations would tell one what another holds. An exclusion constraint is a key as well."""
    indexes = await catalogue.fetch(
        f"""SELECT n.nspname || '.' || c.relname AS table, i.indexrelid::regclass::text AS name, i.indisprimary,
                   i.indisunique OR i.indisexclusion AS is_key, a.attname AS first
            FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE {OURS}"""
    )
    tenant_last = [
        f"{row['name']} is a key of {row['table']} that doesn't start with organization_id"
        for row in _of(indexes, only)
        if row["is_key"] and row["first"] != "organization_id"
    ]
    with_primary_key = {row["table"] for row in indexes if row["indisprimary"]}
    with_tenant_first = {row["table"] for row in indexes if row["first"] == "organization_id"}
    return [
        *tenant_last,
        *(f"{name} has no primary key" for name in sorted(set(only) - with_primary_key)),
        *(f"{name} has no index that starts with organization_id" for name in sorted(set(only) - with_tenant_first)),
    ]


async def references_to(catalogue: Catalogue, only: Tables) -> Records:
    """The foreign keys that lead to these tables."""
    references = await catalogue.fetch(
        f"""SELECT k.conname AS name, n.nspname || '.' || c.relname AS table, cardinality(k.conkey) AS columns,
                   (SELECT attname FROM pg_attribute WHERE attrelid = k.conrelid AND attnum = k.conkey[1]) AS first,
                   (SELECT attname FROM pg_attribute WHERE attrelid = k.confrelid AND attnum = k.confkey[1]) AS target
            FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE k.contype = 'f' AND {OURS}"""
    )
    return _of(references, only)


async def references_across_tenants(catalogue: Catalogue, only: Tables) -> list[str]:
    """PostgreSQL checks foreign keys past row security, so each has to carry the tenant."""
    tenant = ("organization_id", "organization_id")
    return [
        f"{row['name']} refers to {row['table']} without the tenant: use tenant_reference"
        for row in await references_to(catalogue, only)
        if (row["first"], row["target"]) != tenant or row["columns"] < 2
    ]


async def policies(catalogue: Catalogue) -> dict[str, list[tuple[Any, ...]]]:
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


async def other_policies(catalogue: Catalogue, only: Tables) -> list[str]:
    """A tenant table has two policies and no other: the application's own rows, and all of them for the system."""
    two = [([APP_ROLE], "*", True, MINE, MINE), ([SYSTEM_ROLE], "*", True, "true", "true")]
    found = await policies(catalogue)
    return [
        f"{name} has other policies than op.guard_tenant_table makes" for name in sorted(only) if found[name] != two
    ]


async def grants(catalogue: Catalogue) -> dict[tuple[str, str], set[str]]:
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


def table_grants(only: Tables) -> dict[tuple[str, str], set[str]]:
    """What the serving roles may do with tenant tables: what the models say, which is everything unless they do."""
    said = {name: Base.metadata.tables[name].info if name in Base.metadata.tables else {} for name in only}
    return {
        (name, role): set(said[name].get(key, ROWS))
        for name in only
        for role, key in ((APP_ROLE, "app"), (SYSTEM_ROLE, "system"))
    }


async def other_grants(catalogue: Catalogue, only: Tables) -> list[str]:
    """No TRUNCATE, which ignores row security, no REFERENCES, no TRIGGER; nothing for anybody else."""
    found = {pair: privileges for pair, privileges in (await grants(catalogue)).items() if pair[0] in only}
    expected = table_grants(only)
    return [
        f"{role} may {', '.join(sorted(found.get((name, role), set()))) or 'do nothing'} on {name}, and should "
        f"{', '.join(sorted(expected.get((name, role), set()))) or 'do nothing'}"
        for name, role in sorted(found.keys() | expected.keys())
        if found.get((name, role)) != expected.get((name, role))
    ]


async def other_trails(catalogue: Catalogue, only: Tables) -> list[str]:
    """What the audit trail holds of a table is what its model says, by triggers that are switched on."""
    found = await catalogue.fetch(
        r"""SELECT n.nspname || '.' || c.relname AS table, tgname AS name, tgenabled = 'O' AS is_on,
                   (string_to_array(encode(tgargs, 'escape'), '\000'))[:3] AS arguments
            FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE tgfoid = 'core.audit()'::regprocedure"""
    )
    trails: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for row in _of(found, only):
        owner, hidden, omitted = row["arguments"]
        trails[row["table"]].add((row["name"], row["is_on"], owner, _names(hidden), _names(omitted)))
    return [
        f"{name} is written down in the audit trail otherwise than its model says: see op.audit_table"
        for name in sorted(only)
        if trails[name] != _trail(name)
    ]


def _trail(name: str) -> set[tuple[Any, ...]]:
    rule = audit_rule(Base.metadata.tables[name]) if name in Base.metadata.tables else None
    if rule is None:
        return set()
    told = (True, rule.owner, frozenset(rule.hidden), frozenset((*BOOKKEEPING, *rule.omitted)))
    return {(f"audit_{event.lower()}", *told) for event in TRIGGERS}


def _names(array: str) -> frozenset[str]:
    """Of an array literal of column names."""
    return frozenset(filter(None, array.strip("{}").split(",")))


async def unguardable(catalogue: Catalogue) -> list[str]:
    """Materialized views and foreign tables can't have row security; a view has it if it asks as its caller."""
    return [
        *(f"{row['name']} can't have row security" for row in await relations(catalogue, "mf")),
        *(
            f"{row['name']} is a view without security_invoker"
            for row in await relations(catalogue, "v")
            if "security_invoker=true" not in row["options"]
        ),
    ]


async def definer_functions(catalogue: Catalogue) -> Records:
    """The functions that see past row security, their settings, and who may call them."""
    return await catalogue.fetch(
        f"""SELECT p.oid::regprocedure::text AS name, n.nspname AS schema, coalesce(p.proconfig, '{{}}') AS config,
                   ARRAY(SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee)::text END
                         FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
                         WHERE grantee <> p.proowner) AS callers
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {OURS} AND p.prosecdef"""
    )


def definer_faults(found: Records, allowed: Mapping[str, str]) -> list[str]:
    """`allowed` names the functions that may, and the one role that may call each."""
    return [
        f"{row['name']} sees past row security: read it with that in mind, and exempt it by name"
        for row in found
        if row["name"] not in allowed
    ] + [
        f"{row['name']} must SET search_path = pg_catalog, pg_temp, and be callable by {allowed[row['name']]} alone"
        for row in found
        if row["name"] in allowed
        and not (_search_path(row["config"]) == SEARCH_PATH and row["callers"] == [allowed[row["name"]]])
    ]


def _search_path(config: list[str]) -> list[str]:
    return [setting for setting in config if setting.startswith("search_path=")]


def _of(rows: Records, only: Tables) -> Records:
    return [row for row in rows if row["table"] in only]
