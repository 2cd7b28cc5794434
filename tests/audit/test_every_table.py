"""Every table of the running system is in the audit trail, or is exempt by name; and no way of writing goes past it."""

import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import LargeBinary, Table, insert, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.app import Application
from core.db.audit import audit_rule
from core.db.database import Database
from core.db.models import Base
from core.db.tenancy import TenantConnection, acting
from core.plugs.discovery import discover
from core.testing.catalogue import other_trails
from core.testing.rows import Rows, Values
from core.testing.tenants import Tenant, make_tenant
from tests.audit.conftest import entries, somebody, who

UNAUDITED = {
    "core.audit_logs",
    "core.audit_seals",
    "core.domain_events",
    "core.idempotency_keys",
    "core.outbox",
    "networking.contact_embeddings",
    "networking.contact_import_chunks",
    "networking.contact_import_rows",
    "networking.contact_scores",
    "networking.contact_stages",
    "networking.duplicate_pairs",
    "networking.erased_keys",
    "networking.score_runs",
}
"""Tenant tables whose changes are not written down; each model says why."""
PLATFORM_UNAUDITED = {
    "core.announcements",
    "core.oidc_attempts",
    "core.one_time_tokens",
    "core.recovery_codes",
    "core.refresh_tokens",
    "core.schedules",
    "core.sign_in_attempts",
    "core.signing_keys",
}
"""Machinery, of signing in most of it, which belongs to no organization; what it leads to is in the trail."""
TELLING = re.compile(r"hash|secret|password|token|seed|wrapped|private|credential")
EARLIER, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)

type Change = Callable[[AsyncSession, Table, list[Values]], Coroutine[Any, Any, None]]


def audited() -> list[Table]:
    discover()  # else which tables there are would depend on which tests were collected before
    return [table for table in Base.metadata.sorted_tables if audit_rule(table) is not None]


AUDITED = audited()
NAMES = [table.fullname for table in AUDITED]


def test_every_table_is_in_the_trail_or_on_the_list() -> None:
    silent = {table.fullname for table in Base.metadata.sorted_tables} - set(NAMES)
    reasons = {t.fullname: t.info.get("unaudited") for t in Base.metadata.sorted_tables if t.info.get("tenant")}

    assert silent == UNAUDITED | PLATFORM_UNAUDITED
    assert {name for name, reason in reasons.items() if reason} == UNAUDITED


async def test_the_triggers_are_those_that_the_models_declare(superuser: TenantConnection) -> None:
    everything = {table.fullname for table in Base.metadata.sorted_tables}

    assert await other_trails(superuser, everything) == []
    assert set(NAMES) < everything


def test_whatever_looks_like_a_secret_is_hidden() -> None:
    shown = [
        f"{table.fullname}.{column.name}"
        for table in AUDITED
        for column in table.columns
        if (isinstance(column.type, LargeBinary) or TELLING.search(column.name))
        and column.name not in {*audit_rule(table).hidden, *audit_rule(table).omitted}  # type: ignore[union-attr]
    ]

    assert shown == []
    assert sum(len(rule.hidden) for table in AUDITED if (rule := audit_rule(table))) >= 5


async def by_orm(system: AsyncSession, table: Table, rows: list[Values]) -> None:
    mapper = next(mapper for mapper in Base.registry.mappers if mapper.local_table is table)
    keys = {column.name: mapper.get_property_by_column(column).key for column in table.columns}
    made = [mapper.class_(**{keys[name]: value for name, value in row.items()}) for row in rows]
    system.add_all(made)
    await system.flush()
    for one in made:
        one.created_at = LATER
    await system.flush()
    for one in made:
        await system.delete(one)
    await system.flush()


async def in_bulk(system: AsyncSession, table: Table, rows: list[Values]) -> None:
    await system.execute(insert(table), rows)
    await system.execute(update(table).where(key_of(table).in_(ids_of(table, rows))).values(created_at=LATER))
    await system.execute(table.delete().where(key_of(table).in_(ids_of(table, rows))))


async def in_plain_sql(system: AsyncSession, table: Table, rows: list[Values]) -> None:
    ids = {"ids": ids_of(table, rows), "later": LATER}
    mine = f"{key_of(table).name} = ANY(:ids)"
    for row in rows:
        await system.execute(insert(table).values(row))
    await system.execute(text(f"UPDATE {table.fullname} SET created_at = :later WHERE {mine}"), ids)
    await system.execute(text(f"DELETE FROM {table.fullname} WHERE {mine}"), {"ids": ids["ids"]})


def key_of(table: Table) -> Any:
    return table.c.id if "id" in table.c else table.c.user_id


def ids_of(table: Table, rows: list[Values]) -> list[UUID]:
    return [row[key_of(table).name] for row in rows]


@pytest.fixture(scope="module")
async def writing(application: Application) -> Tenant:
    """One organization for all of them: entries are told apart by the rows that they are about."""
    return await make_tenant(application)


@pytest.mark.parametrize("change", [by_orm, in_bulk, in_plain_sql])
@pytest.mark.parametrize("table", AUDITED, ids=NAMES)
async def test_every_change_is_written_down_with_who_made_it(
    database: Database, writing: Tenant, table: Table, change: Change
) -> None:
    actor = somebody()
    made = [Rows(writing.organization_id, mark="trail") for _ in range(2)]
    rows = [each.values(table, created_at=EARLIER) for each in made]
    async with database.system() as system:
        for each in made:
            await each.write(system)

    with acting(actor):
        async with database.system() as system:
            await change(system, table, rows)

    for record_id in ids_of(table, rows):
        told = await entries(database, record_id=record_id, table_name=table.fullname)
        assert [entry.action for entry in told] == ["create", "update", "delete"]
        created, updated, deleted = told
        assert created.old_values is None
        assert created.new_values is not None
        assert moment(created.new_values["created_at"]) == EARLIER
        assert (updated.old_values or {}).keys() == (updated.new_values or {}).keys() == {"created_at"}
        assert [moment(values["created_at"]) for values in (updated.old_values, updated.new_values) if values] == [
            EARLIER,
            LATER,
        ]
        assert deleted.new_values is None
        assert deleted.old_values == created.new_values | updated.new_values
        assert [who(entry) for entry in told] == [actor] * 3


def moment(value: str) -> datetime:
    return datetime.fromisoformat(value)


async def test_what_is_hidden_is_in_no_entry(database: Database, acme: Tenant, superuser: TenantConnection) -> None:
    """A canary in every hidden column of every table is written, changed and removed; then the trail is searched."""
    canary = f"canary{acme.organization_id.hex}"
    hiding = [(table, rule.hidden) for table in AUDITED if (rule := audit_rule(table)) and rule.hidden]
    assert hiding != []

    for table, hidden in hiding:
        kinds = {name: canary if table.c[name].type.python_type is str else canary.encode() for name in hidden}
        rows = Rows(acme.organization_id, mark="hidden")
        row = rows.add(table, **kinds)
        async with database.system() as system:
            await rows.write(system)
            mine = key_of(table) == row[key_of(table).name]
            await system.execute(update(table).where(mine).values({n: v + v[:1] for n, v in kinds.items()}))
            await system.execute(table.delete().where(mine))
        told = await entries(database, record_id=row[key_of(table).name], table_name=table.fullname)
        assert [entry.action for entry in told] == ["create", "update", "delete"]
        assert told[1].old_values == told[1].new_values == dict.fromkeys(hidden, "[hidden]")

    forms = [f"%{canary}%", f"%{canary.encode().hex()}%"]
    assert await superuser.fetch("SELECT FROM core.audit_logs AS log WHERE log::text LIKE ANY ($1)", forms) == []
