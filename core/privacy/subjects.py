"""Where a module holds something about people, told from its models alone.

A table with a `SubjectId` column is about the person whom that column names. A table that has `Pii` columns and no
`SubjectId` is a table of people: each row is about the person whose id is the row's own.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    ColumnElement,
    String,
    Table,
    Text,
    UniqueConstraint,
    cast,
    literal,
    literal_column,
    null,
    or_,
)

from core.db.models import PII, SUBJECT, Base

ERASED = "erased"
"""What a personal text becomes where the table doesn't take NULL."""
PERSONAL, PERSON = next(iter(PII)), next(iter(SUBJECT))


class Unerasable(Exception):
    """A personal column that can be neither NULL nor text, a list or a document; the message names it."""


class SubjectTable(Struct, frozen=True, kw_only=True):
    """A table that holds something about people."""

    table: Table
    subjects: tuple["Column[Any]", ...]
    """The columns that name a person whom the row is about."""
    personal: tuple["Column[Any]", ...]
    """The columns that say something about them."""

    @property
    def name(self) -> str:
        return self.table.fullname

    def about(self, organization_id: UUID, *subject_ids: UUID) -> ColumnElement[bool]:
        """Row security is the second wall: the predicate carries the organization itself."""
        named = or_(*(column.in_(subject_ids) for column in self.subjects))
        return (self.table.c.organization_id == organization_id) & named

    def cleared(self) -> dict[str, Any]:
        """What each personal column becomes."""
        return {column.name: self._nothing(column) for column in self.personal}

    def is_uncleared(self) -> ColumnElement[bool]:
        """Whether the row still says something, so that who erases twice erases nothing the second time."""
        return or_(*(column.is_distinct_from(self._nothing(column)) for column in self.personal))

    def _nothing(self, column: "Column[Any]") -> Any:
        if column.nullable:
            return null()  # a None would be a JSON document's own null
        if isinstance(column.type, ARRAY | JSON):
            return cast(literal_column("'{}'"), column.type)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        if not isinstance(column.type, Text | String):
            raise Unerasable(f"{self.name}.{column.name} is personal: it must be text, list or document, or take NULL")
        if self._is_key(column):  # two erased people must not collide
            return literal(f"{ERASED}-") + cast(self.table.c.id, Text)
        return ERASED

    def _is_key(self, column: "Column[Any]") -> bool:
        keys = [c.columns for c in self.table.constraints if isinstance(c, UniqueConstraint)]
        keys += [index.columns for index in self.table.indexes if index.unique]
        return any(column.name in key for key in keys)


def subject_tables(schema: str) -> list[SubjectTable]:
    """Those of one module, the ones that are referred to first."""
    owned = [t for t in Base.metadata.sorted_tables if t.schema == schema and t.info.get("tenant")]
    return [found for table in owned if (found := _of(table)) is not None]


def _of(table: Table) -> SubjectTable | None:
    personal = tuple(_marked(table, PERSONAL))
    subjects = tuple(_marked(table, PERSON)) or (tuple(table.primary_key.columns)[-1:] if personal else ())
    return SubjectTable(table=table, subjects=subjects, personal=personal) if subjects else None


def _marked(table: Table, mark: str) -> "Iterable[Column[Any]]":
    """A generated column follows those that it is made of."""
    return [column for column in table.columns if column.info.get(mark) and column.computed is None]
