"""The two kinds of transactions that SQLAlchemy keeps for us: of the write lane, in one tenant, and of the system role.

Both run compiled statements as well, without what SQLAlchemy does around each.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import event, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from core.db.inserts import as_loaded, insert_of
from core.db.models import Base, TenantModel
from core.db.reads import Read
from core.db.statements import Row, Statement
from core.db.tenancy import Acting, TenantConnection, TenantContext

CONTEXT = "tenant_context"
WAITING = "waiting"
MARKS = "marks"
HELD = "held"
"""What a write lane's session knows in its `info`: whose it is, what waits for the commit, how much of that was there
as each savepoint began, and the connection that it has while its transaction lasts."""


class Held(NamedTuple):
    """A session's connection, as SQLAlchemy knows it and as the driver does."""

    connection: Connection
    driver: TenantConnection


type WriteLast = Callable[["TenantSession", Sequence[Any]], Awaitable[None]]
"""Writes what waited for the commit, all of it at once."""


class _SyncTenantSession(Session):
    """A session class of its own, so that the listeners below concern the write lane alone."""


class _SyncSystemSession(Session):
    """Likewise: the system role has no tenant, and the audit trail asks all the same who acts."""


class CompiledSession(AsyncSession):
    """A session that beside SQLAlchemy's ways has one to run statements that were compiled before: what they do is
    part of its transaction, and costs the driver's part of it."""

    def __init__(self, engine: AsyncEngine, *, info: dict[Any, Any]) -> None:
        super().__init__(engine, expire_on_commit=False, info=info)
        self._here = self.sync_session.info

    async def run(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Any compiled statement within this transaction."""
        return await self._fetch(statement.sql, statement.bound(values))

    async def insert[M: Base](self, model: type[M], /, **values: Any) -> M:
        """Write one new row, now, and return it: what `add` and `flush` do for rows of all kinds in an order of their
        own, at a fraction of what that costs.

        Raises what asyncpg raises, such as `UniqueViolationError`; answers to requests say of it what they say of
        SQLAlchemy's.
        """
        statement = insert_of(model)
        row = statement.row(values)
        await self._fetch(statement.sql, statement.arguments_of(row))
        made = as_loaded(model, row)
        self.sync_session.add(made)
        return made

    async def _fetch(self, sql: str, arguments: Sequence[Any]) -> list[Row]:
        sync = self.sync_session
        if sync.autoflush and not sync._is_clean():  # pyright: ignore[reportPrivateUsage] # what is public makes sets of all rows
            await self.flush()
        driver = await self._connected()
        try:
            if not driver.is_in_transaction():
                await self._begin(driver)
            return await driver.fetch(sql, *arguments)
        except BaseException as error:
            self._note_end(driver, error)
            raise

    async def _connected(self) -> TenantConnection:
        """The connection itself, without SQLAlchemy's ways around it."""
        if HELD not in self._here:
            await self.run_sync(Session.connection)
        held: Held = self._here[HELD]
        return held.driver

    async def _begin(self, driver: TenantConnection, *, first: str = "") -> None:
        """What SQLAlchemy does before the first statement that it sends itself."""
        driver.begin_with(first)
        transaction = driver.transaction()
        await transaction.start()
        self._here[HELD].connection.connection.dbapi_connection._transaction = transaction

    def _note_end(self, driver: TenantConnection, error: BaseException) -> None:
        """Tell SQLAlchemy of a connection that is gone: it notices that of its own statements alone, and would roll
        back, or commit, what is no more."""
        if driver.is_closed():
            held: Held = self._here[HELD]
            held.connection.invalidate(error)


class SystemSession(CompiledSession):
    """One transaction of the system role, which sees every tenant."""

    sync_session_class = _SyncSystemSession

    def __init__(self, engine: AsyncEngine, who: Acting) -> None:
        super().__init__(engine, info={CONTEXT: who})


class TenantSession(CompiledSession):
    """The write lane: one transaction in one tenant, opened at first use. Services add and query; they never commit."""

    sync_session_class = _SyncTenantSession

    def __init__(self, engine: AsyncEngine, context: TenantContext, *, write_last: WriteLast | None = None) -> None:
        super().__init__(engine, info={CONTEXT: context, WAITING: [], MARKS: {}})
        self._write_last = write_last

    async def rows(self, read: Read, /, **values: Any) -> list[Row]:
        """A `Read` within this transaction: it sees what was written here, and costs as little as on the read lane."""
        return await self.run(read, **values)

    async def run(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Any compiled statement within this transaction. A parameter `tenant` is the transaction's own."""
        context: TenantContext = self._here[CONTEXT]
        return await self._fetch(statement.sql, statement.arguments(context.organization_id, values))

    async def insert[M: Base](self, model: type[M], /, **values: Any) -> M:
        """As `CompiledSession.insert`. The row is the transaction's tenant's."""
        values["organization_id"] = self._here[CONTEXT].organization_id
        return await super().insert(model, **values)

    async def lock(self, numbers: Collection[int], *, shared: Collection[int] = ()) -> None:
        """Hold advisory locks until the transaction ends: the shared ones, then the others, each in their order, so
        that two who want the same can't wait for each other. As the first thing that a transaction does it costs no
        round trip: it rides on BEGIN."""
        sql = _locks("pg_advisory_xact_lock_shared", shared) + _locks("pg_advisory_xact_lock", numbers)
        driver = await self._connected()
        try:
            if not driver.is_in_transaction():
                await self._begin(driver, first=sql)
            elif sql:
                await driver.execute(sql)
        except BaseException as error:
            self._note_end(driver, error)
            raise

    def write_at_commit(self, what: Any) -> None:
        """Keep something until the commit, where all that waits is written at once. A savepoint that is rolled back
        takes with it what came since."""
        if self._write_last is None:
            raise RuntimeError("nobody writes what waits for the commit of this session")
        self._here[WAITING].append(what)

    @property
    def holds_back(self) -> bool:
        """Whether something waits for the commit to be written."""
        return bool(self._here[WAITING])

    @property
    def is_at_work(self) -> bool:
        """Whether there is something to commit: a transaction, or what waits to be written in one."""
        return self.in_transaction() or self.holds_back

    async def commit(self) -> None:
        waiting: list[Any] = self._here[WAITING]
        if waiting and self._write_last is not None:
            await self._write_last(self, waiting)
            waiting.clear()
        await super().commit()

    async def rollback(self) -> None:
        self._here[WAITING].clear()  # also where no transaction was begun
        await super().rollback()


def _locks(function: str, numbers: Collection[int]) -> str:
    return "".join(f"SELECT {function}({number:d});" for number in sorted(set(numbers)))


async def act_as(system: AsyncSession, user_id: UUID) -> None:
    """For whoever proves within the transaction who they are: from here on, the audit trail names them."""
    await system.execute(select(func.set_config("app.user_id", str(user_id), True)))


@event.listens_for(_SyncSystemSession, "after_begin")
@event.listens_for(_SyncTenantSession, "after_begin")
def _enter_tenant(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    """BEGIN is sent with the first statement, so naming the tenant here costs no round trip."""
    context: Acting | None = session.info[CONTEXT]
    driver = cast("TenantConnection", connection.connection.driver_connection)
    session.info[HELD] = Held(connection, driver)
    driver.enter(context)


@event.listens_for(_SyncTenantSession, "before_flush")
def _stamp_tenant(session: Session, _flush: Any, _instances: Any) -> None:
    for row in session.new:
        _give_tenant(row, session.info[CONTEXT])


def _give_tenant(row: object, context: TenantContext) -> None:
    """New rows belong to the tenant of the transaction; row security refuses any other."""
    if isinstance(row, TenantModel) and row.organization_id is None:  # pyright: ignore[reportUnnecessaryComparison]
        row.organization_id = context.organization_id


@event.listens_for(_SyncTenantSession, "before_commit")
def _refuse_to_lose(session: Session) -> None:
    """`TenantSession.commit` has written by now what waited; whoever commits otherwise would lose it in silence."""
    if session.info[WAITING] and not session.in_nested_transaction():
        raise RuntimeError("what waits for the commit has to be written: commit the session itself")


@event.listens_for(_SyncTenantSession, "after_transaction_create")
def _mark(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        session.info[MARKS][transaction] = len(session.info[WAITING])


@event.listens_for(_SyncTenantSession, "after_soft_rollback")
def _forget(session: Session, transaction: SessionTransaction) -> None:
    """What waits is as much part of a transaction as what is written: a rollback takes back as much of it."""
    del session.info[WAITING][session.info[MARKS].get(transaction, 0) :]


@event.listens_for(_SyncSystemSession, "after_transaction_end")
@event.listens_for(_SyncTenantSession, "after_transaction_end")
def _end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:  # the marks of savepoints last as long: SQLAlchemy ends one before it tells of it
        session.info.get(MARKS, {}).clear()
        session.info.pop(HELD, None)
