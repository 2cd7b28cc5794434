"""Which row an id leads to, told by its name: `contact_id` is that of a row of `contacts`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Integer, String, Table, Uuid
from sqlalchemy.types import TypeEngine

from core.testing.fillings import Id, Loose
from core.testing.rows import ORGANIZATION


class Addresses:
    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tables

    def lead(self, field: str) -> Id | Loose | None:
        """Where a field of a body, an event or a job leads. None where to nothing of the module's."""
        return self._row(field.removesuffix("_id")) or self._column(field)

    def of_path(self, parameter: str, before: str) -> Any:
        """Where a path parameter leads; `before` is the word that stands before it in the path."""
        return (
            self._row(parameter.removesuffix("_id"))
            or (self._row(before) if parameter == "id" else None)
            or self._value(parameter)
        )

    def _row(self, name: str) -> Id | None:
        """A table of this name, or of its plural, or one that ends so."""
        plurals = (name, f"{name}s", f"{name}es", f"{name.removesuffix('y')}ies")
        exact = [table for table in self._tables if table.name in plurals]
        ending = [table for table in self._tables if table.name.endswith(tuple(f"_{plural}" for plural in plurals))]
        found = exact or ending
        return Id(found[0].fullname) if found else None

    def _column(self, field: str) -> Id | Loose | None:
        """A column of ids of this name: a reference leads to the row that it refers to, any other is loose."""
        for table in self._tables:
            if field == ORGANIZATION or not _holds(table, field, Uuid):
                continue
            for reference in table.c[field].foreign_keys:
                return Id(reference.column.table.fullname, reference.column.name)
            return Loose(table.fullname, field)
        return None

    def _value(self, parameter: str) -> Id | None:
        """A row is sought by what it holds: own rows are found by their own values."""
        found = (table for table in self._tables if _holds(table, parameter, Uuid, String, Integer))
        return next((Id(table.fullname, parameter) for table in found), None)


def _holds(table: Table, column: str, *kinds: type[TypeEngine[Any]]) -> bool:
    return column in table.c and isinstance(table.c[column].type, kinds)
