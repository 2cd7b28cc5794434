"""New rows by an INSERT that is compiled once for their table: what a flush does, without the unit of work.

A flush finds out what depends on what among rows of all kinds, and what each of them has to say. Where a request
writes one new row that needs no order, this costs the driver's part of it and little more.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, cast

from msgspec import Struct, json
from sqlalchemy import JSON, Column, ColumnDefault, Table, bindparam, insert, inspect
from sqlalchemy.orm import ColumnProperty, Mapper, make_transient_to_detached
from sqlalchemy.orm.attributes import instance_dict, manager_of_class

from core.db.models import Base
from core.db.statements import DIALECT, Statement

type Bind = Callable[[Any], Any]
type Make = Callable[[], Any]


class Field(Struct, frozen=True):
    """One column of the INSERT, under the attribute's name, which may differ from the column's."""

    make: Make | None
    """What the attribute is where the row doesn't say."""
    bind: Bind | None
    """From Python's value to the driver's. None is null as it is, also where JSON has a null of its own."""


class Insert(Statement):
    """INSERT of one row of a model. What PostgreSQL fills in itself (a sequence, what is computed, a default that the
    model doesn't know) is left to it."""

    def __init__(self, model: type[Base]) -> None:
        mapper = cast("Mapper[Any]", inspect(model))
        columns = {prop.key: _column(prop) for prop in mapper.column_attrs if _is_ours(_column(prop))}
        parameters = {column.key: bindparam(name, type_=column.type) for name, column in columns.items()}
        super().__init__(insert(cast("Table", mapper.local_table)).values(parameters))
        self._fields = {name: Field(_make(column), _bind(column)) for name, column in columns.items()}

    def row(self, values: dict[str, Any]) -> dict[str, Any]:
        """All that the new row has: the values by attribute, and the model's defaults.

        Raises `TypeError` for what the model doesn't have, or what PostgreSQL fills in itself.
        """
        if unknown := values.keys() - self._fields.keys():
            raise TypeError(f"a new row can't be given {', '.join(sorted(unknown))}")
        return {
            name: values[name] if name in values else None if field.make is None else field.make()
            for name, field in self._fields.items()
        }

    def arguments_of(self, row: dict[str, Any]) -> list[Any]:
        """A whole row as the driver takes it."""
        return self.bound(
            {
                name: row[name] if field.bind is None or row[name] is None else field.bind(row[name])
                for name, field in self._fields.items()
            }
        )


@cache
def insert_of(model: type[Base]) -> Insert:
    return Insert(model)


def _column(prop: ColumnProperty[Any]) -> Column[Any]:
    return cast("Column[Any]", prop.columns[0])


def _is_ours(column: Column[Any]) -> bool:
    return column.default is not None or (
        column.server_default is None and column.computed is None and column.identity is None
    )


def _make(column: Column[Any]) -> Make | None:
    if not isinstance(default := column.default, ColumnDefault):
        return None
    value = default.arg
    if not default.is_callable:
        return lambda: value
    return getattr(value, "__wrapped__", None) or partial(value, None)  # what SQLAlchemy has wrapped takes no context


def _bind(column: Column[Any]) -> Bind | None:
    if isinstance(column.type, JSON):
        return _as_json
    return cast("Bind | None", column.type.dialect_impl(DIALECT).bind_processor(DIALECT))


def _as_json(value: Any) -> str:
    return json.encode(value).decode()


def as_loaded[M: Base](model: type[M], row: dict[str, Any]) -> M:
    """The row as if it had been read from the database, for a session to go on with."""
    made = manager_of_class(model).new_instance()
    instance_dict(made).update(row)
    make_transient_to_detached(made)
    return made
