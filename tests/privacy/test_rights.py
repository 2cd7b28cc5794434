"""A person's two rights: to have all that is held about them, and to have it erased, and nothing of anybody else's."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct
from sqlalchemy import (
    ARRAY,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    insert,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from core.db.database import Database
from core.db.models import PII, SUBJECT, Base
from core.ids import new_id
from core.plugs.discovery import Plug, Plugs
from core.privacy import rights
from core.privacy.rights import Erasure, Held, Incomplete, erase_subject, export_subject
from core.privacy.subjects import ERASED, SubjectTable, Unerasable, subject_tables
from core.runtime import Runtime
from core.sdk import Ctx, Module, hook
from core.testing.attacks import fingerprint
from core.testing.rows import Rows
from core.testing.tenants import Tenant
from core.toggles.catalogue import TenantModules

CONTACTS, INTERACTIONS = "networking.contacts", "networking.contact_interactions"
STAGES = "networking.contact_stages"
"""Written by triggers, for every contact."""
TOLD = {"shelf": "third"}


class Person(Struct, frozen=True):
    id: UUID
    mark: str
    contact: dict[str, Any]


async def known_by(tenant: Tenant, mark: str) -> Person:
    """A contact, and an interaction with them, with the mark in every text."""
    rows = Rows(tenant.organization_id, mark=mark)
    contact = rows.add(Base.metadata.tables[CONTACTS])
    rows.add(Base.metadata.tables[INTERACTIONS])
    async with tenant.database.system() as system:
        await rows.write(system)
    return Person(contact["id"], mark, contact)


async def stored(tenant: Tenant, person: Person, table: str, *columns: str) -> dict[str, Any]:
    found = Base.metadata.tables[table]
    key = "id" if table == CONTACTS else "contact_id"
    async with tenant.database.system() as system:
        result = await system.execute(select(*(found.c[name] for name in columns)).where(found.c[key] == person.id))
        return dict(result.mappings().one())


async def export(tenant: Tenant, plugs: Plugs, subject_id: UUID) -> list[Held]:
    ctx = tenant.ctx()
    try:
        return [held async for held in export_subject(ctx, plugs, subject_id)]
    finally:
        await ctx.close()


async def erase(tenant: Tenant, plugs: Plugs, subject_id: UUID, *, dry_run: bool = False) -> dict[str, Erasure]:
    ctx = tenant.ctx()
    ctx.modules = TenantModules()  # what is off holds data as well
    try:
        return {e.module: e for e in await erase_subject(ctx, plugs, subject_id, dry_run=dry_run)}
    finally:
        await ctx.close()


class Asked:
    """What the hooks of the module `attic` were asked, and what they shall do."""

    def __init__(self) -> None:
        self.erased: list[UUID] = []
        self.error: Exception | None = None
        self.hangs = False


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def plugs(runtime: Runtime, asked: Asked) -> Plugs:
    """A module with hooks of its own, and after it networking."""

    @hook
    async def export_subject(ctx: Ctx, subject_id: UUID) -> AsyncGenerator[dict[str, Any]]:
        yield TOLD
        if asked.hangs:
            await asyncio.Event().wait()
        if asked.error is not None:
            await ctx.db.execute(text("SELECT 1 / 0"))

    @hook
    async def erase_subject(ctx: Ctx, subject_id: UUID) -> None:
        contacts = Base.metadata.tables[CONTACTS]
        await ctx.db.execute(update(contacts).values(company="the hook was here"))
        if asked.error is not None:
            raise asked.error
        asked.erased.append(subject_id)

    hooks = SimpleNamespace(export_subject=export_subject, erase_subject=erase_subject)
    attic = Module(name="attic", title="Attic", hooks=hooks)
    plug = Plug(module=attic, package="tests", distribution="tests", version="1", directory=Path("/nowhere"))
    return Plugs([plug, runtime.plugs.plugs["networking"]])


async def test_an_export_tells_every_marked_column_of_every_table(acme: Tenant, plugs: Plugs) -> None:
    person = await known_by(acme, "ada")

    held = await export(acme, plugs, person.id)

    rows = {each.table: each.row for each in held}
    assert set(rows) == {None, CONTACTS, INTERACTIONS, STAGES}
    for about in (each for each in subject_tables("networking") if each.name in rows):
        assert {column.name for column in (*about.personal, *about.subjects)} <= set(rows[about.name])
    assert rows[CONTACTS]["email"] == person.contact["email"]
    assert rows[INTERACTIONS]["contact_id"] == person.id


async def test_an_export_tells_what_the_modules_own_hook_knows(acme: Tenant, plugs: Plugs) -> None:
    held = await export(acme, plugs, new_id())

    assert held == [Held(module="attic", table=None, row=TOLD)]


async def test_an_export_tells_of_nobody_else(acme: Tenant, globex: Tenant, plugs: Plugs) -> None:
    person, other = await known_by(acme, "ada"), await known_by(acme, "bob")

    assert "bob" not in str(await export(acme, plugs, person.id))
    assert await export(globex, plugs, other.id) == await export(globex, plugs, new_id())


@pytest.mark.parametrize("fault", ["raises", "hangs"])
async def test_a_hook_that_fails_hides_nothing_of_other_modules_and_is_told_of(
    acme: Tenant, plugs: Plugs, asked: Asked, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    person = await known_by(acme, "ada")
    monkeypatch.setattr(rights, "HOOK_SECONDS", 0.2)
    asked.error, asked.hangs = ValueError() if fault == "raises" else None, fault == "hangs"
    held: list[Held] = []
    ctx = acme.ctx()

    with pytest.raises(Incomplete, match="attic"):
        async for each in export_subject(ctx, plugs, person.id):
            held.append(each)  # noqa: PERF401 # what came before the error counts

    await ctx.close()
    assert {each.table for each in held} == {None, CONTACTS, INTERACTIONS, STAGES}


async def test_an_erasure_clears_what_is_personal_and_leaves_the_rest(acme: Tenant, plugs: Plugs) -> None:
    person = await known_by(acme, "ada")

    erased = await erase(acme, plugs, person.id)

    assert erased["networking"].rows == {CONTACTS: 1, INTERACTIONS: 1}
    row = await stored(acme, person, CONTACTS, "first_name", "email", "search_text", "industry", "version")
    assert (row["first_name"], row["email"]) == (ERASED, None)
    assert "ada networking.contacts.email" not in row["search_text"], "what is generated follows"
    assert row["industry"] == person.contact["industry"]
    assert row["version"] == person.contact["version"] + 1
    assert (await stored(acme, person, INTERACTIONS, "description"))["description"] is None


async def test_an_erasure_asks_the_modules_own_hook(acme: Tenant, plugs: Plugs, asked: Asked) -> None:
    person = await known_by(acme, "ada")

    await erase(acme, plugs, person.id)

    assert asked.erased == [person.id]
    assert (await stored(acme, person, CONTACTS, "company"))["company"] == "the hook was here"


async def test_an_erasure_touches_nobody_else(acme: Tenant, globex: Tenant, runtime: Runtime) -> None:
    person, other = await known_by(acme, "ada"), await known_by(acme, "bob")
    await known_by(globex, "ada")
    before = await fingerprint(globex)

    await erase(acme, runtime.plugs, person.id)
    await erase(globex, runtime.plugs, person.id)

    assert (await stored(acme, other, CONTACTS, "email"))["email"] == other.contact["email"]
    assert await fingerprint(globex) == before


async def test_a_dry_run_counts_the_same_and_changes_nothing(acme: Tenant, plugs: Plugs, asked: Asked) -> None:
    person = await known_by(acme, "ada")
    before = await fingerprint(acme)

    counted = await erase(acme, plugs, person.id, dry_run=True)

    assert await fingerprint(acme) == before
    assert asked.erased == []
    assert counted == await erase(acme, plugs, person.id)


async def test_erasing_twice_erases_nothing_the_second_time(acme: Tenant, runtime: Runtime) -> None:
    person = await known_by(acme, "ada")
    await erase(acme, runtime.plugs, person.id)
    before = await fingerprint(acme)

    again = await erase(acme, runtime.plugs, person.id)

    assert again["networking"].rows == {}
    assert await fingerprint(acme) == before


async def test_a_module_that_fails_is_rolled_back_and_the_others_go_on(
    acme: Tenant, plugs: Plugs, asked: Asked
) -> None:
    person = await known_by(acme, "ada")
    asked.error = ValueError("not now")

    erased = await erase(acme, plugs, person.id)

    assert erased["attic"] == Erasure(module="attic", rows={}, error="ValueError")
    assert erased["networking"].rows == {CONTACTS: 1, INTERACTIONS: 1}
    row = await stored(acme, person, CONTACTS, "company", "email")
    assert row == {"company": person.contact["company"], "email": None}


async def test_four_erasures_at_once_erase_each_row_once(acme: Tenant, runtime: Runtime) -> None:
    person = await known_by(acme, "ada")

    erased = await asyncio.gather(*(erase(acme, runtime.plugs, person.id) for _ in range(4)))

    assert sum(each["networking"].rows.get(CONTACTS, 0) for each in erased) == 1
    assert [each["networking"].error for each in erased] == [None] * 4


def guest_list(*columns: "Column[Any]", key: str | None = None) -> SubjectTable:
    table = Table(
        "guest_list",
        MetaData(),
        Column("organization_id", Uuid, primary_key=True),
        Column("id", Uuid, primary_key=True),
        Column("subject_id", Uuid, info=SUBJECT),
        *columns,
        *([UniqueConstraint("organization_id", key)] if key else []),
        prefixes=["TEMPORARY"],
    )
    personal = tuple(column for column in table.columns if column.info == PII)
    return SubjectTable(table=table, subjects=(table.c.subject_id,), personal=personal)


async def test_lists_and_documents_are_emptied_and_null_is_null(database: Database) -> None:
    guests = guest_list(
        Column("names", ARRAY(Text), nullable=False, info=PII),
        Column("papers", JSONB, nullable=False, info=PII),
        Column("diet", JSONB, nullable=True, info=PII),
    )
    person, organization_id = new_id(), new_id()
    values = {"organization_id": organization_id, "id": new_id(), "subject_id": person}
    held = guests.about(organization_id, person) & guests.is_uncleared()
    touched: list[int] = []

    async with database.system() as system:
        await (await system.connection()).run_sync(guests.table.metadata.create_all)
        await system.execute(
            insert(guests.table).values(**values, names=["Ada"], papers={"id": 1}, diet={"eats": "all"})
        )
        for _ in range(2):
            result = await system.execute(update(guests.table).where(held).values(guests.cleared()))
            touched.append(result.rowcount)  # type: ignore[attr-defined]
        left = (await system.execute(select(guests.table.c.names, guests.table.c.papers, guests.table.c.diet))).one()
        is_null = await system.scalar(select(guests.table.c.diet.is_(null())))
        await system.rollback()

    assert touched == [1, 0]
    assert tuple(left) == ([], {}, None)
    assert is_null is True


async def test_erased_rows_of_a_unique_column_do_not_collide(database: Database) -> None:
    guests = guest_list(Column("email", Text, nullable=False, info=PII), key="email")
    organization_id, people = new_id(), [new_id(), new_id()]
    left: list[str] = []

    async with database.system() as system:
        await (await system.connection()).run_sync(guests.table.metadata.create_all)
        for person in people:
            values = {"organization_id": organization_id, "id": new_id(), "subject_id": person, "email": str(person)}
            await system.execute(insert(guests.table).values(values))
            await system.execute(
                update(guests.table).where(guests.about(organization_id, person)).values(guests.cleared())
            )
        held = select(guests.table.c.email).where(guests.is_uncleared())
        left = list(await system.scalars(held))
        erased = list(await system.scalars(select(guests.table.c.email)))
        await system.rollback()

    assert left == []
    assert len(set(erased)) == 2
    assert all(value.startswith(ERASED) for value in erased)


def test_what_can_be_neither_null_nor_a_text_can_not_be_personal() -> None:
    guests = guest_list(Column("age", Integer, nullable=False, info=PII))

    with pytest.raises(Unerasable, match=r"guest_list\.age"):
        guests.cleared()
