"""Writing many rows in one statement: they go over as one JSON text and PostgreSQL takes them apart."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import JSON, ColumnElement, Table, Text, bindparam, column, func, literal_column, select
from sqlalchemy import cast as cast_to
from sqlalchemy.dialects.postgresql import Insert, insert

from core.sdk import Ctx, TenantModel

COMMON, ROWS = "common", "rows"


class BulkRows:
    """The rows of a table's columns as a source to select from. A column that a row leaves out is as in `COMMON`, and
    null where that has none either."""

    def __init__(self, model: type[TenantModel], names: Sequence[str]) -> None:
        table = cast("Table", model.__table__)
        common, rows = (cast_to(bindparam(name, type_=Text), JSON) for name in (COMMON, ROWS))
        null: ColumnElement[Any] = literal_column(f"NULL::{table.fullname}")
        base = func.json_populate_record(null, common)
        columns = [column(name, table.c[name].type) for name in names]
        self.names = list(names)
        self.source = func.json_populate_recordset(base, rows).table_valued(*columns, name="given")

    def values(self) -> Any:
        return select(*(self.source.c[name] for name in self.names))


def bulk_insert(model: type[TenantModel], names: Sequence[str]) -> Insert:
    """An INSERT of these columns, and of the key."""
    rows = BulkRows(model, ["organization_id", "id", *names])
    return insert(cast("Table", model.__table__)).from_select(rows.names, rows.values(), include_defaults=False)


async def write_rows(
    ctx: Ctx, statement: Any, rows: Sequence[Mapping[str, Any]], *, common: Mapping[str, Any], **parameters: Any
) -> None:
    """Run a statement over `BulkRows`. `common` is what all rows have; each says what it has of its own."""
    if rows:
        given = {ROWS: msgspec.json.encode(rows).decode(), COMMON: msgspec.json.encode(common).decode()}
        await ctx.db.execute(statement, given | parameters)
