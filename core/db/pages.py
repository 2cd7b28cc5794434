"""Keyset pages: lists that stay stable while rows are added, at the same cost on every page.

A module declares a list once and serves it with `ctx.page`:

    CONTACTS = ListQuery(
        Contact,
        columns=[Contact.id, Contact.email, Contact.created_at],
        where=[~Contact.is_deleted],
        filters={"status": Contact.status == bindparam("status")},
        sorts={"created_at": Contact.created_at},
    )

Sorted columns must be among the columns shown, since the cursor takes its position from the last row's JSON.

The cursor is opaque and signed for the tenant. It names the list, its order and its filters, so one that was forged,
or taken from another list or another organization, is refused.
"""

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Protocol, cast
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import InstrumentedAttribute, Mapped

from core.db.models import TenantRow
from core.db.reads import Read, Reads, mine
from core.db.statements import Row
from core.errors import FieldError, Invalid

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
MAC_BYTES = 16

type SortColumn = InstrumentedAttribute[Any] | ColumnElement[Any]


class Page[T](Struct, frozen=True, kw_only=True):
    """One page of a list. `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None


class _Position(Struct, frozen=True, array_like=True):
    fingerprint: str
    key: Any
    id: str


class CursorSigner:
    """Signs cursors, and makes fingerprints, with keys derived from the secret, for one tenant at a time."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.blake2b(b"cursor", key=secret.encode()[:64], digest_size=32).digest()
        self._fingerprint_key = hashlib.blake2b(b"fingerprint", key=secret.encode()[:64], digest_size=32).digest()

    def fingerprint(self, purpose: str, value: str, tenant: bytes) -> bytes:
        """See `Ctx.fingerprint`."""
        return hmac.digest(self._fingerprint_key, tenant + f"{purpose}\0{value}".encode(), "sha256")

    def _mac(self, payload: bytes, tenant: bytes) -> bytes:
        return hmac.digest(self._key, tenant + payload, "sha256")[:MAC_BYTES]

    def seal(self, position: _Position, tenant: bytes) -> str:
        payload = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._mac(payload, tenant) + payload).decode().rstrip("=")

    def open(self, cursor: str, tenant: bytes) -> _Position:
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            mac, payload = raw[:MAC_BYTES], raw[MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(payload, tenant)):
                raise _bad_cursor()
            return msgspec.json.decode(payload, type=_Position)
        except ValueError as error:  # msgspec's errors and binascii's are ValueErrors
            raise _bad_cursor() from error


def _bad_cursor() -> Invalid:
    message = "Take cursors from next_cursor, unchanged, with the same filters and sort"
    return Invalid(message, code="invalid-cursor", errors=[FieldError(field="cursor", code="cursor", message=message)])


class PlatformRow(Protocol):
    """What lists need of a model whose rows are no tenant's."""

    __table__: ClassVar[FromClause]
    __tablename__: Any
    id: Mapped[UUID]


def _own(model: type[TenantRow] | type[PlatformRow]) -> tuple[ColumnElement[bool], ...]:
    is_tenants = getattr(model.__table__, "info", {}).get("tenant")  # a query has none
    return (mine(cast("type[TenantRow]", model)),) if is_tenants else ()


class ListQuery:
    """A list that can be filtered, sorted and paged. Each combination of these is compiled once."""

    def __init__(
        self,
        model: type[TenantRow] | type[PlatformRow],
        *,
        columns: Sequence[ColumnElement[Any] | InstrumentedAttribute[Any]],
        sorts: Mapping[str, SortColumn],
        where: Sequence[ColumnElement[bool] | InstrumentedAttribute[bool]] = (),
        filters: Mapping[str, ColumnElement[bool]] | None = None,
        besides: Collection[str] = (),
        default_sort: str = "-created_at",
    ) -> None:
        """Of the tenant's rows; of a model that is no tenant's, everybody's: those lists are the system role's.

        `besides` names values that conditions and columns take beside the filters, such as who asks. They make no
        other list of it: a cursor outlives their change. One that is not given is NULL.
        """
        self.name = f"{model.__table__.schema}.{model.__tablename__}"
        self.sorts = sorts
        self.default_sort = default_sort
        self._columns = columns
        self._id = model.id
        self._where = (*_own(model), *where)
        self._filters = dict(filters or {})
        self._besides = frozenset(besides)
        self._compile = lru_cache(maxsize=512)(self._compile_shape)
        self._row: Read | None = None

    async def page(
        self,
        reads: Reads,
        signer: CursorSigner,
        tenant: bytes,
        *,
        sort: str | None,
        limit: int,
        cursor: str | None,
        filters: Mapping[str, Any],
    ) -> bytes:
        """One page as the JSON of `Page`. A filter that is None is left out. Raises `Invalid` for a bad cursor."""
        sort = sort or self.default_sort
        values = {name: value for name, value in filters.items() if value is not None}
        given = {name: value for name, value in values.items() if name not in self._besides}
        fingerprint = self._fingerprint(sort, given)
        after = "start"
        if cursor is not None:
            position = signer.open(cursor, tenant)
            if position.fingerprint != fingerprint:
                raise _bad_cursor()
            after = "null" if position.key is None else "key"
            values |= self._position_values(sort, position)
        read = self._compile(sort, tuple(sorted(given)), after)
        rows = [row[0] for row in await reads.rows(read, fetch=limit + 1, **values)]
        more = len(rows) > limit
        token = b"null"
        if more:
            rows.pop()
            token = b'"%s"' % self._seal(signer, tenant, sort, fingerprint, rows[-1]).encode()
        return b'{"items":[%s],"next_cursor":%s}' % (",".join(rows).encode(), token)

    async def row(self, reads: Reads, row_id: UUID, values: Mapping[str, Any]) -> Row | None:
        """The row of this id, with the list's columns; None where the list has no such row. `values` are `besides`."""
        found = await reads.rows(self.read_row(), row_id=row_id, **values)
        return found[0] if found else None

    def read_row(self) -> Read:
        if self._row is None:
            self._row = Read(select(*self._columns).where(*self._where, self._id == bindparam("row_id")))
        return self._row

    def _seal(self, signer: CursorSigner, tenant: bytes, sort: str, fingerprint: str, last_row: str) -> str:
        last: dict[str, Any] = msgspec.json.decode(last_row)
        position = _Position(fingerprint, last[sort.removeprefix("-")], last["id"])
        return signer.seal(position, tenant)

    def _position_values(self, sort: str, position: _Position) -> dict[str, Any]:
        kind = self.sorts[sort.removeprefix("-")].type.python_type
        try:
            values: dict[str, Any] = {"after_id": msgspec.convert(position.id, self._id.type.python_type)}
            if position.key is not None:
                values["after_key"] = msgspec.convert(position.key, kind)
        except msgspec.ValidationError as error:
            raise _bad_cursor() from error
        return values

    def _fingerprint(self, sort: str, given: Mapping[str, Any]) -> str:
        shape = msgspec.json.encode([self.name, sort, sorted(given.items())])
        return hashlib.blake2b(shape, digest_size=9).hexdigest()

    def _compile_shape(self, sort: str, given: tuple[str, ...], after: str) -> Read:
        try:
            column = self.sorts[sort.removeprefix("-")]
        except KeyError:
            message = f"Sort by one of: {', '.join(self.sorts)}; a leading - reverses"
            raise Invalid(message, errors=[FieldError(field="sort", code="value", message=message)]) from None
        descending = sort.startswith("-")
        conditions = [*self._where, *(self._filters[name] for name in given)]
        if after != "start":
            conditions.append(self._after(column, descending=descending, from_null=after == "null"))
        order = [column.desc(), self._id.desc()] if descending else [column.asc(), self._id.asc()]
        rows = select(*self._columns).where(*conditions).order_by(*order).limit(bindparam("fetch", type_=Integer))
        page = rows.subquery("page")
        return Read(select(sql_cast(func.row_to_json(literal_column("page")), Text)).select_from(page))

    def _after(self, column: SortColumn, *, descending: bool, from_null: bool) -> ColumnElement[bool]:
        """What comes after a position. PostgreSQL orders NULL above every value, in both directions."""
        after_id = bindparam("after_id", type_=self._id.type)
        after_key = bindparam("after_key", type_=column.type)
        nullable = bool(getattr(column, "nullable", False))
        if from_null:
            rest = self._id < after_id if descending else self._id > after_id
            same = and_(column.is_(None), rest)
            return or_(same, column.is_not(None)) if descending else same
        position = tuple_(column, self._id)
        edge = tuple_(after_key, after_id)
        if descending:
            return position < edge
        return or_(position > edge, column.is_(None)) if nullable else position > edge
