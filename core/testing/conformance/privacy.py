"""Rules about people: what is personal is marked so, and an erasure leaves nothing of it."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Column, Table, select

from core.ids import new_id
from core.privacy.rights import Erasure, Held, erase_subject, export_subject
from core.privacy.subjects import ERASED, PERSON, PERSONAL, SubjectTable, Unerasable, subject_tables
from core.testing.attacks import fingerprint
from core.testing.conformance.candidate import Candidate, Rule
from core.testing.rows import Rows
from core.testing.tenants import Tenant

SOUNDS_PERSONAL = re.compile(
    r"(^|_)(e?mails?|phones?|mobile|fax|(first|last|middle|full|given|family|maiden|nick)_?name|surname|"
    r"birth(day|date)?|date_of_birth|dob|gender|(home|postal|street|ip)_?address|street|postcode|zip(_?code)?|ssn|"
    r"passport|iban|avatar|bio|linkedin|twitter|dietary|user_agent)(_url|_number|_text)?$"
)


async def personal_data_are_marked(candidate: Candidate) -> Sequence[str]:
    """A column whose name says that it holds something about a person is `Mapped[Pii]` or `Mapped[OptionalPii]`; one
    that sounds so and isn't is named: `conformance.of(NAME, not_personal={"answers.email_kind"})`. What is personal
    can be cleared: it is text, a list or a document, or takes NULL. Rows about people in another table say about whom.
    """
    found = [
        f"{table.fullname}.{column.name} sounds personal: make it Pii, or name it under not_personal"
        for table in candidate.tables
        for column in table.columns
        if _is_suspect(column) and f"{table.name}.{column.name}" not in candidate.allowances.not_personal
    ]
    for about in subject_tables(candidate.name):
        if _is_about_others(about):
            found.append(f"{about.name} is personal and refers to people: mark the column that names them SubjectId")
        try:
            about.cleared()
        except Unerasable as error:
            found.append(str(error))
    return found


def _is_about_others(about: SubjectTable) -> bool:
    """Whether the table says something about people, and not about whom, though it refers to some."""
    referred = {reference.referred_table for reference in about.table.foreign_key_constraints} - {about.table}
    people = [table for table in referred if any(column.info.get(PERSONAL) for column in table.columns)]
    return bool(people) and not any(column.info.get(PERSON) for column in about.table.columns)


def _is_suspect(column: "Column[Any]") -> bool:
    marked = column.info.get(PERSONAL) or column.info.get(PERSON)
    try:
        holds_words = column.type.python_type in {str, dict, date}
    except NotImplementedError:
        holds_words = True
    return not marked and column.computed is None and holds_words and bool(SOUNDS_PERSONAL.search(column.name))


async def an_erasure_leaves_nothing(candidate: Candidate) -> Sequence[str]:
    """The export of a person tells every personal value that is held about them and nobody else's; a dry run of the
    erasure counts them and changes nothing; the erasure removes them, of everybody who asks, and nothing of others.
    """
    acme, globex = await candidate.tenants()
    tables = subject_tables(candidate.name)
    first, second = await _person(candidate, acme), await _person(candidate, acme)
    elsewhere = await _person(candidate, globex, first.id)
    found = await _exported(candidate, acme, first, second)
    before = await fingerprint(acme, [candidate.name])
    counted = (await _erased(candidate, acme, first.id, dry_run=True)).rows
    if before != await fingerprint(acme, [candidate.name]):
        found.append("a dry run of an erasure changes rows")
    erasure = await _erased(candidate, acme, first.id)
    if erasure.error is not None:
        return [*found, f"an erasure fails with {erasure.error}: a personal column must take NULL or {ERASED!r}"]
    if erasure.rows != counted:
        found.append(f"an erasure touches {erasure.rows}, and its dry run said {counted}")
    found += await _remains(acme, tables, first)
    found += [f"an erasure also clears {name} of somebody else" for name in await _lost(acme, tables, second)]
    found += [f"an erasure also clears {name} elsewhere" for name in await _lost(globex, tables, elsewhere)]
    again = await _erased(candidate, acme, first.id)
    if again.error is not None or again.rows:
        found.append(f"a second erasure of the same person finds {again.error or again.rows}")
    other = await _erased(candidate, acme, second.id)
    if other.error is not None:
        found.append(f"the erasure of a second person fails with {other.error}: two erased rows collide")
    return found


class Person:
    """Somebody about whom each of the module's tables holds a row."""

    def __init__(self, subject_id: UUID) -> None:
        self.id = subject_id
        self.mark = f"person{uuid4().hex}"
        self.rows: dict[str, dict[str, Any]] = {}


async def _person(candidate: Candidate, tenant: Tenant, subject_id: UUID | None = None) -> Person:
    person = Person(subject_id or new_id())
    rows = Rows(tenant.organization_id, mark=person.mark)
    for about in subject_tables(candidate.name):
        for column in about.subjects:
            _have_referred(rows, column, person.id)
        named = {column.name: person.id for column in about.subjects}
        person.rows[about.name] = rows.add(about.table, **named)
    async with tenant.database.system() as system:
        await rows.write(system)
    return person


def _have_referred(rows: Rows, column: "Column[Any]", subject_id: UUID) -> None:
    """The row that a subject's id refers to, where the module keeps it itself."""
    for reference in column.foreign_keys:
        parent: Table = reference.column.table
        if not any(made.get("id") == subject_id for made in rows.made.get(parent.fullname, [])):
            rows.add(parent, id=subject_id)


async def _exported(candidate: Candidate, tenant: Tenant, person: Person, other: Person) -> list[str]:
    ctx = tenant.ctx()
    try:
        held: list[Held] = [each async for each in export_subject(ctx, candidate.company, person.id)]
    except Exception as error:
        return [f"an export fails: {error}"]
    finally:
        await ctx.close()
    told = " ".join(str(each.row) for each in held if each.module == candidate.name)
    missing = [
        f"an export of a person doesn't tell {about.name}.{column.name}"
        for about in subject_tables(candidate.name)
        for column in about.personal
        if str(person.rows[about.name][column.name]) not in told
    ]
    return [*missing, *(["an export of a person tells of somebody else"] if other.mark in told else [])]


async def _erased(candidate: Candidate, tenant: Tenant, subject_id: UUID, *, dry_run: bool = False) -> Erasure:
    ctx = tenant.ctx()
    try:
        found = await erase_subject(ctx, candidate.company, subject_id, dry_run=dry_run)
    finally:
        await ctx.close()
    return next(each for each in found if each.module == candidate.name)


async def _values(tenant: Tenant, about: SubjectTable, person: Person) -> list[dict[str, Any]]:
    held = about.about(tenant.organization_id, person.id)
    async with tenant.database.system() as system:
        result = await system.execute(select(*about.personal).where(held)) if about.personal else None
        return [] if result is None else [dict(row) for row in result.mappings()]


async def _remains(tenant: Tenant, tables: Sequence[SubjectTable], person: Person) -> list[str]:
    return [
        f"an erasure leaves {about.name}.{name}"
        for about in tables
        for row in await _values(tenant, about, person)
        for name, value in row.items()
        if person.mark in str(value)
    ]


async def _lost(tenant: Tenant, tables: Sequence[SubjectTable], person: Person) -> list[str]:
    """Tables whose row of the person is not what it was. Rows beside it, such as a module's own triggers make, are no
    matter."""
    return [
        about.name
        for about in tables
        if about.personal
        and {column.name: person.rows[about.name][column.name] for column in about.personal}
        not in await _values(tenant, about, person)
    ]


RULES: tuple[Rule, ...] = (personal_data_are_marked, an_erasure_leaves_nothing)
