"""What every table inherits: a tenant table's key, organization, timestamps, version and row security."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Protocol
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import (
    Boolean,
    ForeignKeyConstraint,
    FromClause,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

from core import clock
from core.db.tenancy import ROW_PRIVILEGES
from core.ids import new_id

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

PII = {"pii": True}
SUBJECT = {"subject": True}

type Json = dict[str, Any]
Pii = Annotated[str, mapped_column(Text, info=PII)]
"""Text that says something about a person: GDPR export shows it and erasure removes it."""
OptionalPii = Annotated[str | None, mapped_column(Text, info=PII)]
SubjectId = Annotated[UUID, mapped_column(Uuid, info=SUBJECT)]
"""The id of the person that a row is about."""
OptionalSubjectId = Annotated[UUID | None, mapped_column(Uuid, info=SUBJECT)]


class Base(AsyncAttrs, DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: DateTimeUTC,
        dict[str, Any]: JSONB,
        Json: JSONB,
        UUID: Uuid,
    }


class TenantModel(Base):
    """A row that belongs to one organization.

    `class Answer(TenantModel, schema="rsvp")` is enough: the primary key is `(organization_id, id)`, the organization
    is filled in from the transaction's context, and migrations made with `plugs makemigration` put the table under
    forced row security and into the audit trail. `version` counts the row's changes: two writers of one version
    conflict, one of them loses.
    """

    __abstract__ = True

    organization_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-20)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id, sort_order=-19)
    version: Mapped[int] = mapped_column(Integer, default=1, server_default="1", sort_order=900)
    created_at: Mapped[datetime] = mapped_column(default=clock.now, server_default=func.now(), sort_order=901)
    updated_at: Mapped[datetime] = mapped_column(
        default=clock.now, onupdate=clock.now, server_default=func.now(), sort_order=902
    )

    def __init_subclass__(
        cls,
        *,
        schema: str | None = None,
        app: Sequence[str] = ROW_PRIVILEGES,
        unaudited: str | None = None,
        **kwargs: Any,
    ) -> None:
        """`app` is what the application may do with its own rows, where that is not everything.

        `unaudited` is why changes of the rows are not in the audit trail, where they are not.
        """
        if schema is not None:
            own = cls.__dict__.get("__table_args__", ())
            info = {"tenant": True, "app": tuple(app), "unaudited": unaudited}
            cls.__table_args__ = (*own, {"schema": schema, "info": info})
        super().__init_subclass__(**kwargs)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version, "eager_defaults": False}


class TenantRow(Protocol):
    """What lists and reads need of a model: any row that names its organization, `TenantModel` or not."""

    __table__: ClassVar[FromClause]
    __tablename__: Any
    organization_id: Mapped[UUID]
    id: Mapped[UUID]


class SoftDelete:
    """Rows that are deleted by a mark and can be restored."""

    is_deleted: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false", sort_order=903)
    deleted_at: Mapped[datetime | None] = mapped_column(DateTimeUTC, sort_order=904)


def tenant_reference(column: str, target: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """A foreign key inside a module. It carries the tenant, since PostgreSQL checks foreign keys past row security.

    `target` is a qualified table (`networking.contacts`).
    """
    return ForeignKeyConstraint(
        ["organization_id", column], [f"{target}.organization_id", f"{target}.id"], ondelete=ondelete
    )


def tenant_unique(*columns: str, **options: Any) -> UniqueConstraint:
    """Unique within the organization. A constraint across organizations would tell one what another holds."""
    return UniqueConstraint("organization_id", *columns, **options)


def tenant_index(name: str, *columns: Any, **options: Any) -> Index:
    """An index that starts with the tenant."""
    return Index(name, "organization_id", *columns, **options)
