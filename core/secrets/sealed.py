"""Columns that hold sealed values: how a model declares one, and how all of them are found.

class Credential(TenantModel, schema="integrations"):
    token: Mapped[Sealed]

Rotation walks every column that says so. Nobody keeps a list, so none can be forgotten.
"""

from collections.abc import Iterator
from typing import Annotated, Any, cast
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Column, LargeBinary, MetaData, Table
from sqlalchemy.orm import InstrumentedAttribute, mapped_column

from core.db.models import Base
from core.secrets.cipher import Place

SEALED = {"sealed": True}
NOBODY = UUID(int=0)
"""Stands as the organization of what belongs to no tenant, such as the seed of a person's second factor."""
ORGANIZATION = "organization_id"

Sealed = Annotated[bytes, mapped_column(LargeBinary, info=SEALED)]
OptionalSealed = Annotated[bytes | None, mapped_column(LargeBinary, info=SEALED)]


class SealedColumn(Struct, frozen=True):
    """A column of sealed values, with what tells where each of them lives."""

    table: Table
    value: "Column[Any]"
    row_id: "Column[Any]"

    @property
    def is_tenants(self) -> bool:
        return ORGANIZATION in self.table.primary_key.columns

    def place(self, organization_id: UUID, row_id: UUID) -> Place:
        return Place(organization_id=organization_id, table=self.table.fullname, column=self.value.name, row_id=row_id)


def sealed_columns(metadata: MetaData = Base.metadata) -> Iterator[SealedColumn]:
    """Every sealed column of the imported models. Raises `TypeError` for one whose rows have no single UUID as id."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            if column.info.get("sealed"):
                yield _described(table, column)


def place_of(attribute: InstrumentedAttribute[Any], *, row_id: UUID, organization_id: UUID = NOBODY) -> Place:
    """Where a value of this column lives: `place_of(TotpFactor.seed, row_id=user_id)`."""
    column = cast("Column[Any]", attribute.property.columns[0])
    if not column.info.get("sealed"):
        raise TypeError(f"{column} is not declared as sealed, so rotation would not find it")
    described = _described(column.table, column)
    if described.is_tenants == (organization_id == NOBODY):
        raise TypeError(f"{column}: name the organization of a tenant's row, and of no other")
    return described.place(organization_id, row_id)


def _described(table: Table, column: "Column[Any]") -> SealedColumn:
    ids = [key for key in table.primary_key.columns if key.name != ORGANIZATION]
    if len(ids) != 1 or ids[0].type.python_type is not UUID:
        raise TypeError(f"{column}: a row with a sealed value needs one UUID as its id")
    return SealedColumn(table, column, ids[0])
