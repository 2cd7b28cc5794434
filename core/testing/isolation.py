"""Whether one organization can see or touch another's rows, tried for real on any tenant table."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Executable, Table, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from core.db.database import Database
from core.db.sessions import TenantSession
from core.db.tenancy import ROW_PRIVILEGES, TenantContext
from core.testing.rows import ORGANIZATION, Rows, Values

REFUSED = "42501"
"""SQLSTATE of a row that the policy's WITH CHECK turns away."""


class Side(Struct, frozen=True, kw_only=True):
    """One of two organizations that both have rows in a table."""

    organization_id: UUID
    spare: Values
    """A row of its own that is not in the table yet."""


async def seed(database: Database, organization_id: UUID, table: Table, *, mark: str) -> Side:
    """Put a row of the organization into the table, as the system, and keep another one ready."""
    rows = Rows(organization_id, mark=mark)
    rows.add(table)
    spare = rows.values(table)
    async with database.system() as system:
        await rows.write(system)
    return Side(organization_id=organization_id, spare=spare)


async def breaches(database: Database, table: Table, *, mine: Side, theirs: Side) -> list[str]:
    """Every way in which `mine`, signed in, gets at the rows of `theirs` in a table where both have some.

    Empty where the walls hold. What it does to its own rows has to work, else the refusals would prove nothing;
    where it doesn't, that is told as well. Nothing that it tries stays.
    """
    owner, own, other = table.c[ORGANIZATION], mine.organization_id, theirs.organization_id
    may = set(table.info.get("app", ROW_PRIVILEGES))
    lane = _Trial(database, own)
    seen = await lane.attempt(select(owner), lambda result: {row[0] for row in result})
    attempts = {
        "sees": bool(seen - {own}),
        "reads by id": await lane.touches(select(owner).where(owner == other)),
        "changes": await lane.touches(update(table).where(owner == other).values({ORGANIZATION: other})),
        "takes over": await lane.touches(update(table).where(owner == other).values({ORGANIZATION: own})),
        "deletes": await lane.touches(delete(table).where(owner == other)),
        "adds": await lane.outcome(insert(table).values(theirs.spare)) != REFUSED,
        "hands over": own in seen and await lane.outcome(update(table).values({ORGANIZATION: other})) != REFUSED,
        "can't see its own": own not in seen,
        "can't change its own": "UPDATE" in may and not await lane.touches(update(table).values({ORGANIZATION: own})),
        "can't delete its own": "DELETE" in may and not await lane.touches(delete(table).where(owner == own)),
        "can't add its own": "INSERT" in may and await lane.outcome(insert(table).values(mine.spare)) is not None,
    }
    return [f"{table.fullname}: {attempt}" for attempt, succeeded in attempts.items() if succeeded]


async def breaches_without_tenant(database: Database, table: Table, side: Side) -> list[str]:
    """Every way in which a transaction that names no tenant gets at a table in which there are rows."""
    lane = _Trial(database, None)
    attempts = {
        "sees": await lane.touches(select(table.c[ORGANIZATION])),
        "changes": await lane.touches(update(table).values({ORGANIZATION: side.organization_id})),
        "deletes": await lane.touches(delete(table)),
        "adds": await lane.outcome(insert(table).values(side.spare)) != REFUSED,
    }
    return [f"{table.fullname} without a tenant: {attempt}" for attempt, succeeded in attempts.items() if succeeded]


class _Trial:
    """Runs single statements on the write lane, each in a transaction that is rolled back."""

    def __init__(self, database: Database, organization_id: UUID | None) -> None:
        self._database = database
        self._organization_id = organization_id

    def _session(self) -> TenantSession:
        if self._organization_id is not None:
            return self._database.session(TenantContext(organization_id=self._organization_id))
        return self._database.session(None)  # type: ignore[arg-type] # what no product code may do

    async def attempt[T](self, statement: Executable, look: Callable[[Any], T]) -> T:
        async with self._session() as session:
            return look(await session.execute(statement))

    async def touches(self, statement: Executable) -> bool:
        """Whether the statement reaches any row. One that is refused reaches none."""
        try:
            return await self.attempt(statement, _reached) > 0
        except DBAPIError as error:
            if _sqlstate(error) != REFUSED:
                raise
            return False

    async def outcome(self, statement: Executable) -> str | None:
        """The SQLSTATE that the statement ends in, None for success."""
        try:
            await self.attempt(statement, lambda _: None)
        except DBAPIError as error:
            return _sqlstate(error)
        return None


def _reached(result: Any) -> int:
    return len(result.all()) if result.returns_rows else result.rowcount


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)
