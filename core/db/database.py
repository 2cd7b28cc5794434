"""The pools of one process and the two lanes over them.

The write lane is a SQLAlchemy session on the primary; the read lane runs compiled statements on asyncpg. Both act as
`plugs_app` within a tenant. `system()` acts as `plugs_system`; its few callers are named in SECURITY tests.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, cast
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import event, func, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool

from core.db.inserts import as_loaded, insert_of
from core.db.models import TenantModel
from core.db.read_pool import ReadPool
from core.db.reads import Read, ReadLane
from core.db.replica import EitherLane, Notes, Replica, position_of
from core.db.statements import Row, Statement
from core.db.tenancy import APP_ROLE, SYSTEM_ROLE, Acting, TenantConnection, TenantContext, who_acts

log = structlog.get_logger()

CONNECT_SECONDS = 1.0
POOL_SECONDS = 1.0
"""For a connection to be free. Together with the time to connect, two seconds until a request is told to come back."""
STATEMENT_MILLISECONDS = 30_000
COMMAND_SECONDS = STATEMENT_MILLISECONDS / 1000 + 5
"""Beyond the server's own limit: for a server that has gone without a word, and will never say that time is up."""
IDLE_IN_TRANSACTION_MILLISECONDS = 60_000
PLANS = "force_generic_plan"
"""One for all organizations. A plan for a certain one takes an organization that the statistics don't know yet to have
no rows, so that any index that begins with it seems as good as the key: each look-up by id, also a foreign key's,
then reads all that the organization has."""
CONTEXT = "tenant_context"
WAITING = "waiting"
MARKS = "marks"
HELD = "held"
"""What a write lane's session knows in its `info`: whose it is, what waits for the commit, how much of that was there
as each savepoint began, and the connection that it has while its transaction lasts."""

type WriteLast = Callable[["TenantSession", Sequence[Any]], Awaitable[None]]
"""Writes what waited for the commit, all of it at once."""


async def connect(url: str, *, role: str | None, name: str, read_only: bool = False) -> TenantConnection:
    """A connection in `role`, or as the login itself where that is None.

    The role is part of the start-up packet, so that no RESET returns to the login's own.
    """
    server_settings = {
        "application_name": name,
        "timezone": "UTC",
        "jit": "off",
        "plan_cache_mode": PLANS,
        "statement_timeout": str(STATEMENT_MILLISECONDS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MILLISECONDS),
    }
    if role is not None:
        server_settings["role"] = role
    if read_only:
        server_settings["default_transaction_read_only"] = "on"
    return await asyncpg.connect(
        url,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        connection_class=TenantConnection,
        server_settings=server_settings,
    )


class _SyncTenantSession(Session):
    """A session class of its own, so that the listeners below concern the write lane alone."""


class _SyncSystemSession(Session):
    """Likewise: the system role has no tenant, and the audit trail asks all the same who acts."""


class _SystemSession(AsyncSession):
    sync_session_class = _SyncSystemSession


class TenantSession(AsyncSession):
    """The write lane: one transaction in one tenant, opened at first use. Services add and query; they never commit."""

    sync_session_class = _SyncTenantSession

    def __init__(self, engine: AsyncEngine, context: TenantContext, *, write_last: WriteLast | None = None) -> None:
        super().__init__(engine, expire_on_commit=False, info={CONTEXT: context, WAITING: [], MARKS: {}})
        self._here = self.sync_session.info
        self._write_last = write_last

    async def rows(self, read: Read, /, **values: Any) -> list[Row]:
        """A `Read` within this transaction: it sees what was written here, and costs as little as on the read lane."""
        return await self.run(read, **values)

    async def run(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Any compiled statement within this transaction. A parameter `tenant` is the transaction's own."""
        context: TenantContext = self._here[CONTEXT]
        return await self._fetch(statement.sql, statement.arguments(context.organization_id, values))

    async def insert[M: TenantModel](self, model: type[M], /, **values: Any) -> M:
        """Write one new row, now, and return it: what `add` and `flush` do for rows of all kinds in an order of their
        own, at a fraction of what that costs.

        Raises what asyncpg raises, such as `UniqueViolationError`; answers to requests say of it what they say of
        SQLAlchemy's.
        """
        statement = insert_of(model)
        values["organization_id"] = self._here[CONTEXT].organization_id
        row = statement.row(values)
        await self._fetch(statement.sql, statement.arguments_of(row))
        made = as_loaded(model, row)
        self.sync_session.add(made)
        return made

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

    async def _fetch(self, sql: str, arguments: Sequence[Any]) -> list[Row]:
        sync = self.sync_session
        if self.autoflush and (sync.new or sync.dirty or sync.deleted):
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
        held: Connection = self._here[HELD]
        return cast("TenantConnection", held.connection.driver_connection)

    async def _begin(self, driver: TenantConnection, *, first: str = "") -> None:
        """What SQLAlchemy does before the first statement that it sends itself."""
        if first:
            driver.enter(self._here[CONTEXT], first=first)
        transaction = driver.transaction()
        await transaction.start()
        self._here[HELD].connection.dbapi_connection._transaction = transaction

    def _note_end(self, driver: TenantConnection, error: BaseException) -> None:
        """Tell SQLAlchemy of a connection that is gone: it notices that of its own statements alone, and would roll
        back, or commit, what is no more."""
        if driver.is_closed():
            held: Connection = self._here[HELD]
            held.invalidate(error)

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


class Database:
    """All connections of one process. Made by `open_database`, closed with it."""

    def __init__(
        self, *, app: AsyncEngine, system: AsyncEngine, reads: ReadPool, replica: Replica | None = None
    ) -> None:
        self._app = app
        self._system = system
        self._reads = reads
        self._replica = replica

    def session(self, context: TenantContext, *, write_last: WriteLast | None = None) -> TenantSession:
        """`write_last` writes what `write_at_commit` was told."""
        return TenantSession(self._app, context, write_last=write_last)

    def reads(self, context: TenantContext, *, may_lag: bool = False) -> ReadLane:
        """`may_lag` is for who only looks: where there is a replica, they may read it. All that their organization was
        told to be written is there; what others did to it, such as an operator, may be missing for some seconds."""
        if may_lag and self._replica is not None:
            return EitherLane(self._reads, self._replica, context.organization_id)
        return ReadLane(self._reads, context.organization_id)

    async def tell_written(self, organization_id: UUID) -> None:
        """For who has committed, before they say so: from then on, nobody in the organization reads on a replica that
        hasn't got it yet. It never fails, as what was committed stays so."""
        if self._replica is None:
            return
        try:
            async with self._reads.acquire(organization_id, within=CONNECT_SECONDS) as connection:
                written = await position_of(connection)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("replica.not_noted", error=type(error).__name__)
        else:
            await self._replica.note(organization_id, written)

    @asynccontextmanager
    async def system(self) -> AsyncGenerator[AsyncSession]:
        """One transaction that sees every tenant; commits unless an error leaves it."""
        info = {CONTEXT: who_acts()}
        async with _SystemSession(self._system, expire_on_commit=False, info=info) as session, session.begin():
            yield session

    async def as_system(self, statement: Statement, /, **values: Any) -> list[Row]:
        """One statement that sees every tenant, in one round trip: PostgreSQL makes a transaction of it by itself.

        It doesn't say who acts, so it is for what the audit trail leaves out.
        """
        async with self._system.connect() as borrowed:
            connection = cast("TenantConnection", (await borrowed.get_raw_connection()).driver_connection)
            return await connection.fetch(statement.sql, *statement.bound(values))

    async def ping(self) -> None:
        """Raises what the driver raises where PostgreSQL doesn't answer."""
        async with self._reads.acquire(within=CONNECT_SECONDS) as connection:
            await connection.fetchval("SELECT 1", timeout=CONNECT_SECONDS)


@asynccontextmanager
async def open_database(
    *, app_url: str, system_url: str, pool: int, name: str, replica_url: str = "", notes: Notes | None = None
) -> AsyncGenerator[Database]:
    """Open the pools. `pool` bounds the connections of each lane; `name` shows in pg_stat_activity.

    With `notes` of what was written, who only looks may read on the replica at `replica_url`.
    """
    async with AsyncExitStack() as stack:
        app = _engine(app_url, role=APP_ROLE, name=f"{name}:write", size=pool)
        stack.push_async_callback(app.dispose)
        system = _engine(system_url, role=SYSTEM_ROLE, name=f"{name}:system", size=max(2, pool // 2))
        stack.push_async_callback(system.dispose)

        async def connect_reader() -> TenantConnection:
            return await connect(app_url, role=APP_ROLE, name=f"{name}:read", read_only=True)

        reads = ReadPool(connect_reader, size=pool)
        stack.push_async_callback(reads.close)
        replica = None
        if replica_url and notes is not None:
            replica = await stack.enter_async_context(_open_replica(app_url, replica_url, notes, pool=pool, name=name))
        yield Database(app=app, system=system, reads=reads, replica=replica)


@asynccontextmanager
async def _open_replica(primary_url: str, url: str, notes: Notes, *, pool: int, name: str) -> AsyncGenerator[Replica]:
    async def connect_reader(what: str = "replica") -> TenantConnection:
        return await connect(url, role=APP_ROLE, name=f"{name}:{what}", read_only=True)

    async def connect_primary() -> TenantConnection:
        return await connect(primary_url, role=APP_ROLE, name=f"{name}:position", read_only=True)

    reads = ReadPool(connect_reader, size=pool)
    replica = Replica(reads, notes, replica=partial(connect_reader, "position"), primary=connect_primary)
    following = asyncio.create_task(replica.run())
    try:
        yield replica
    finally:
        following.cancel()
        await asyncio.wait([following])
        await reads.close()


def _engine(url: str, *, role: str, name: str, size: int) -> AsyncEngine:
    async def creator() -> TenantConnection:
        return await connect(url, role=role, name=name)

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=creator,
        poolclass=AsyncAdaptedQueuePool,
        hide_parameters=True,  # an error's text goes to the log, and rows are people's
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_recycle=1800,
    )
    event.listen(engine.sync_engine.pool, "checkout", _hand_out)
    return engine


def _locks(function: str, numbers: Collection[int]) -> str:
    return "".join(f"SELECT {function}({number:d});" for number in sorted(set(numbers)))


def _hand_out(dbapi_connection: Any, _record: Any, _proxy: Pool) -> None:
    """A connection leaves the pool without a tenant: what its last borrower set must not reach the next.

    One that the server has closed is replaced. To ask the server each time whether it is there would cost a transaction
    of its own; one that has gone without a word is found out by the time limits.
    """
    connection = cast("TenantConnection", dbapi_connection.driver_connection)
    if connection.is_closed():
        raise DisconnectionError("the server has closed this connection")
    connection.enter(None)


async def act_as(system: AsyncSession, user_id: UUID) -> None:
    """For whoever proves within the transaction who they are: from here on, the audit trail names them."""
    await system.execute(select(func.set_config("app.user_id", str(user_id), True)))


@event.listens_for(_SyncSystemSession, "after_begin")
@event.listens_for(_SyncTenantSession, "after_begin")
def _enter_tenant(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    """BEGIN is sent with the first statement, so naming the tenant here costs no round trip."""
    context: Acting | None = session.info[CONTEXT]
    session.info[HELD] = connection
    cast("TenantConnection", connection.connection.driver_connection).enter(context)


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


@event.listens_for(_SyncTenantSession, "after_transaction_end")
def _end(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:  # the marks of savepoints last as long: SQLAlchemy ends one before it tells of it
        session.info[MARKS].clear()
        session.info.pop(HELD, None)
