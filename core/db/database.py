"""The pools of one process and the two lanes over them.

The write lane is a SQLAlchemy session on the primary; the read lane runs compiled statements on asyncpg. Both act as
`plugs_app` within a tenant. `system()` acts as `plugs_system`; its few callers are named in SECURITY tests.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast
from uuid import UUID

import asyncpg
from sqlalchemy import event, func, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool

from core.db.models import TenantModel
from core.db.read_pool import ReadPool
from core.db.reads import Read, ReadLane
from core.db.statements import Row, Statement
from core.db.tenancy import APP_ROLE, SYSTEM_ROLE, Acting, TenantConnection, TenantContext, who_acts

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
_BEGIN = text("SELECT")
"""SQLAlchemy begins a transaction with the first statement that it sends itself."""


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

    async def rows(self, read: Read, /, **values: Any) -> list[Row]:
        """A `Read` within this transaction: it sees what was written here, and costs as little as on the read lane."""
        if self.autoflush and (self.new or self.dirty or self.deleted):
            await self.flush()
        sync = (await self.connection()).sync_connection
        connection = cast("TenantConnection", cast("Connection", sync).connection.driver_connection)
        if not connection.is_in_transaction():
            await self.execute(_BEGIN)
        context: TenantContext = self.info[CONTEXT]
        return await connection.fetch(read.sql, *read.arguments(context.organization_id, values))


class Database:
    """All connections of one process. Made by `open_database`, closed with it."""

    def __init__(self, *, app: AsyncEngine, system: AsyncEngine, reads: ReadPool) -> None:
        self._app = app
        self._system = system
        self._reads = reads

    def session(self, context: TenantContext) -> TenantSession:
        return TenantSession(self._app, expire_on_commit=False, info={CONTEXT: context})

    def reads(self, context: TenantContext) -> ReadLane:
        return ReadLane(self._reads, context.organization_id)

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
async def open_database(*, app_url: str, system_url: str, pool: int, name: str) -> AsyncGenerator[Database]:
    """Open the pools. `pool` bounds the connections of each lane; `name` shows in pg_stat_activity."""
    async with AsyncExitStack() as stack:
        app = _engine(app_url, role=APP_ROLE, name=f"{name}:write", size=pool)
        stack.push_async_callback(app.dispose)
        system = _engine(system_url, role=SYSTEM_ROLE, name=f"{name}:system", size=max(2, pool // 2))
        stack.push_async_callback(system.dispose)

        async def connect_reader() -> TenantConnection:
            return await connect(app_url, role=APP_ROLE, name=f"{name}:read", read_only=True)

        reads = ReadPool(connect_reader, size=pool)
        stack.push_async_callback(reads.close)
        yield Database(app=app, system=system, reads=reads)


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
    cast("TenantConnection", connection.connection.driver_connection).enter(context)


@event.listens_for(_SyncTenantSession, "before_flush")
def _stamp_tenant(session: Session, _flush: Any, _instances: Any) -> None:
    """New rows belong to the tenant of the transaction; row security refuses any other."""
    context: TenantContext = session.info[CONTEXT]
    for row in session.new:
        if isinstance(row, TenantModel) and row.organization_id is None:  # pyright: ignore[reportUnnecessaryComparison]
            row.organization_id = context.organization_id
