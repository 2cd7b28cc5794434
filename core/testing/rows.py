"""A row for any table, made from what the models say: types, closed sets, keys and references.

Tests that walk every table fill them with this, so a new table is under test without a line about it; one that can't
be filled fails them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from itertools import count, groupby
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec
from sqlalchemy import (
    ARRAY,
    JSON,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Table,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.models import Base
from core.ids import new_id

ORGANIZATION = "organization_id"
CLOSED_SET = re.compile(r"^(\w+) IN \('([^']*)'")

_NUMBERS = count(1)
"""No two values of a test run are the same."""

type Values = dict[str, Any]


class Unfillable(Exception):
    """The models don't say enough to make a row; the message names the column."""


def tenant_tables() -> list[Table]:
    """Every tenant table of the imported models, those that are referred to first."""
    return [table for table in tables_in_order() if table.info.get("tenant")]


def tables_in_order() -> Sequence[Table]:
    """Every table of the imported models, those that are referred to first."""
    return _in_order(len(Base.metadata.tables))


@cache
def _in_order(_imported: int) -> Sequence[Table]:
    """Sorting them takes milliseconds, and models are only ever added."""
    return tuple(Base.metadata.sorted_tables)


class Rows:
    """Makes the rows of one organization. `mark` is in every text, document and file that is not of a closed set."""

    def __init__(self, organization_id: UUID, *, mark: str) -> None:
        self.made: dict[str, list[Values]] = {}
        """The rows that were added, by qualified table."""
        self._written: dict[str, int] = {}
        self._organization_id = organization_id
        self._makers: dict[type, Callable[[str], Any]] = {
            str: lambda place: f"{mark} {place}",
            bytes: lambda place: f"{mark} {place}".encode(),
            dict: lambda place: {"mark": f"{mark} {place}"},
            UUID: lambda _: new_id(),
            bool: lambda _: False,
            int: lambda _: next(_NUMBERS),
            float: lambda _: float(next(_NUMBERS)),
            Decimal: lambda _: Decimal(next(_NUMBERS)),
            datetime: lambda _: clock.now(),
            date: lambda _: clock.now().date(),
        }

    def add(self, table: Table, **given: Any) -> Values:
        """Add a row, and the rows that it refers to where there are none yet, to what `write` will write."""
        values = self.values(table, **given)
        self.made.setdefault(table.fullname, []).append(values)
        return values

    async def write(self, session: AsyncSession) -> None:
        """Write what was added since the last time, all tables in one statement."""
        places: list[tuple[str, tuple[str, ...]]] = []
        documents: dict[str, str] = {}
        for table in tables_in_order():
            rows, written = self.made.get(table.fullname, []), self._written.get(table.fullname, 0)
            for names, alike in groupby(rows[written:], key=tuple):
                documents[f"rows{len(places)}"] = _as_json(alike)
                places.append((table.fullname, names))
            self._written[table.fullname] = len(rows)
        if places:
            await session.execute(_insertion(tuple(places)), documents)

    def values(self, table: Table, **given: Any) -> Values:
        """The values of a row that the table would take. Raises `Unfillable`."""
        values: Values = {ORGANIZATION: self._organization_id} if ORGANIZATION in table.c else {}
        for reference in _references(table):
            values |= self._reference(reference)
        sets = _closed_sets(table)
        for blank in _blanks(table):
            if (name := blank.column.name) not in given and name not in values:
                values[name] = sets[name] if name in sets else self._value(blank)
        return values | given

    def _reference(self, reference: ForeignKeyConstraint) -> Values:
        table, parent = reference.table, reference.referred_table
        names = [element.parent.name for element in reference.elements]
        if parent.fullname == "core.organizations":
            return dict.fromkeys(names, self._organization_id)
        if parent is table:
            return {name: None for name in names if name != ORGANIZATION}
        known = self.made.get(parent.fullname)
        row = known[0] if known and not _tells_rows_apart(table, frozenset(names)) else self.add(parent)
        return {element.parent.name: row[element.column.name] for element in reference.elements}

    def _value(self, blank: "_Blank") -> Any:
        make = self._makers.get(blank.kind)
        if make is None:
            raise Unfillable(f"{blank.place}: no value is known for {blank.column.type!r}")
        value = make(f"{blank.place} {next(_NUMBERS)}")
        return [value] if blank.is_array else value


@cache
def _insertion(places: tuple[tuple[str, tuple[str, ...]], ...]) -> TextClause:
    """Rows of a table each, given as JSON. What refers to what is looked at when all of them are there."""
    parts: list[str] = []
    for number, (table, names) in enumerate(places):
        columns = ", ".join(f'"{name}"' for name in names)
        rows = f"jsonb_populate_recordset(NULL::{table}, CAST(:rows{number} AS jsonb))"
        parts.append(f"made{number} AS (INSERT INTO {table} ({columns}) SELECT {columns} FROM {rows})")
    return text(f"WITH {', '.join(parts)} SELECT")


def _as_json(rows: Iterable[Values]) -> str:
    written = [{name: _in_json(value) for name, value in row.items()} for row in rows]
    return msgspec.json.encode(written).decode()


def _in_json(value: Any) -> Any:
    """As PostgreSQL reads it: bytes in hexadecimal."""
    match value:
        case bytes():
            return f"\\x{value.hex()}"
        case list():
            return [_in_json(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


@cache
def _references(table: Table) -> Sequence[ForeignKeyConstraint]:
    return tuple(table.foreign_key_constraints)


class _Blank(NamedTuple):
    """A column that a row must have a value for."""

    column: "Column[Any]"
    place: str
    kind: type
    is_array: bool


@cache
def _blanks(table: Table) -> Sequence[_Blank]:
    return [
        _Blank(column, f"{table.fullname}.{column.name}", _python_type(column), isinstance(column.type, ARRAY))
        for column in table.columns
        if not _is_made_by_the_database(column)
    ]


def _python_type(column: "Column[Any]") -> type:
    """That of the items for an array; `object` for types that SQLAlchemy has no Python type for."""
    if isinstance(column.type, JSON):
        return dict
    kind = cast("ARRAY[Any]", column.type).item_type if isinstance(column.type, ARRAY) else column.type
    try:
        return kind.python_type
    except NotImplementedError:
        return object


def _is_made_by_the_database(column: "Column[Any]") -> bool:
    """Generated columns; and flags and types of PostgreSQL's own that have a default, for that says it best."""
    if column.computed is not None or column.identity is not None:
        return True
    return column.server_default is not None and _python_type(column) in {bool, object}


@cache
def _closed_sets(table: Table) -> Mapping[str, str]:
    """The first value of each column that a CHECK constraint limits to a set."""
    checks = (str(check.sqltext) for check in table.constraints if isinstance(check, CheckConstraint))
    return {found[1]: found[2] for check in checks if (found := CLOSED_SET.match(check))}


@cache
def _tells_rows_apart(table: Table, referring: frozenset[str]) -> bool:
    """Whether two rows that refer to the same one would have the same key: of a key of references, the last one."""
    keys = [cast("Iterable[Column[Any]]", c.columns) for c in table.constraints if isinstance(c, UniqueConstraint)]
    references = {e.parent.name for reference in table.foreign_key_constraints for e in reference.elements}
    names = [[column.name for column in key if column.name != ORGANIZATION] for key in keys]
    return any(key[-1] in referring for key in names if key and references.issuperset(key))
