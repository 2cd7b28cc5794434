"""The read lane: SELECTs compiled once per shape and run on asyncpg, straight into JSON or rows.

A `Read` is made once (a module constant, or a cached function of the shape) and run many times:

    CONTACT = Read(select(Contact.id, Contact.email).where(mine(Contact), Contact.id == bindparam("id")))
    row = await ctx.reads.first(CONTACT, id=contact_id)

Row security is the second wall: SQL that was injected could set the tenant itself. The first wall is `mine`, the
tenant predicate that every read carries; the lane binds it.
"""

from collections.abc import AsyncIterator
from typing import Any, Protocol, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, Uuid, bindparam, func, literal_column, select
from sqlalchemy import cast as cast_as
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.models import TenantRow
from core.db.statement_pool import StatementPool
from core.db.statements import TENANT, Compiled, Row, Statement
from core.db.tenancy import TenantConnection

STREAM_ROWS = 500
NO_TENANT = UUID(int=0)


def mine(model: type[TenantRow]) -> ColumnElement[bool]:
    """The tenant predicate. Its value is bound by the lane, never by the caller."""
    return model.organization_id == bindparam(TENANT, type_=Uuid())


class Read(Statement):
    """A SELECT of a tenant's rows."""

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        super().__init__(statement)

    def _compile(self) -> Compiled:
        made = super()._compile()
        if "set_config" in made.sql.lower():
            raise ValueError("a read can't change the settings of its connection, on which the tenant stands")
        return made


class Together(Read):
    """Several reads in one round trip, where each finds a handful of rows: one row comes back, with the rows of each
    read as a JSON array under its name.

        KNOWN = Together(required=REQUIRED_FIELDS, matches=FIND)
        [known] = await ctx.db.rows(KNOWN, …)       # json.decode(known["matches"], type=list[Match])
    """

    def __init__(self, **reads: Read) -> None:
        super().__init__(select(*(_as_json(name, read) for name, read in reads.items())))


def _as_json(name: str, read: Read) -> ColumnElement[str]:
    alias = f"_{name}"  # as no column is called: to PostgreSQL that would come before the row
    rows = cast("Select[*tuple[Any, ...]]", read.statement).subquery(alias)
    array = func.coalesce(func.json_agg(literal_column(alias)), literal_column("'[]'::json"))
    return cast_as(select(array).select_from(rows).scalar_subquery(), Text).label(name)


class Reads(Protocol):
    """What a list is read from: the read lane, or the system role in its few places."""

    async def rows(self, read: Read, /, **values: Any) -> list[Row]: ...


class SystemReads:
    """Reads of the system role, across tenants, on the connection of its session."""

    __slots__ = ("_system",)

    def __init__(self, system: AsyncSession) -> None:
        self._system = system

    async def rows(self, read: Read, /, **values: Any) -> list[Row]:
        raw = await (await self._system.connection()).get_raw_connection()
        connection = cast("TenantConnection", raw.driver_connection)
        return await connection.fetch(read.sql, *read.arguments(NO_TENANT, values))


class ReadLane:
    """Reads of one tenant, on connections that can only read. Each call is a statement of its own, which PostgreSQL
    runs in a transaction of its own, on a connection that is in the tenant."""

    __slots__ = ("_pool", "_tenant")

    def __init__(self, pool: StatementPool, tenant: UUID) -> None:
        self._pool = pool
        self._tenant = tenant

    async def rows(self, read: Read, /, **values: Any) -> list[Row]:
        async with self._pool.acquire(self._tenant) as connection:
            return await connection.fetch(read.sql, *read.arguments(self._tenant, values))

    async def first(self, read: Read, /, **values: Any) -> Row | None:
        async with self._pool.acquire(self._tenant) as connection:
            return await connection.fetchrow(read.sql, *read.arguments(self._tenant, values))

    async def stream(self, read: Read, /, **values: Any) -> AsyncIterator[Row]:
        """Rows as PostgreSQL hands them over, a few hundred at a time: memory stays flat however many there are."""
        async with self._pool.acquire(self._tenant) as connection, connection.transaction():
            async for row in connection.cursor(read.sql, *read.arguments(self._tenant, values), prefetch=STREAM_ROWS):
                yield row
