"""The pools of one process and the two lanes over them.

The write lane is a SQLAlchemy session on the primary; the read lane runs compiled statements on asyncpg. Both act as
`plugs_app` within a tenant. `system()` acts as `plugs_system`; its few callers are named in SECURITY tests.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, cast
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool

from core.db.reads import ReadLane
from core.db.replica import EitherLane, Notes, Replica, position_of
from core.db.sessions import SystemSession, TenantSession, WriteLast
from core.db.statement_pool import StatementPool
from core.db.statements import Row, Statement
from core.db.tenancy import APP_ROLE, SYSTEM_ROLE, TenantConnection, TenantContext, who_acts

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


class Database:
    """All connections of one process. Made by `open_database`, closed with it."""

    def __init__(
        self,
        *,
        app: AsyncEngine,
        system: AsyncEngine,
        system_statements: StatementPool,
        reads: StatementPool,
        replica: Replica | None = None,
    ) -> None:
        self._app = app
        self._system = system
        self._system_statements = system_statements
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
    async def system(self) -> AsyncGenerator[SystemSession]:
        """One transaction that sees every tenant; commits unless an error leaves it."""
        async with SystemSession(self._system, who_acts()) as session, session.begin():
            yield session

    async def as_system(self, statement: Statement, /, **values: Any) -> list[Row]:
        """One statement that sees every tenant, in one round trip: PostgreSQL makes a transaction of it by itself.

        It doesn't say who acts, so it is for what the audit trail leaves out.
        """
        async with self._system_statements.acquire() as connection:
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

        async def connect_system() -> TenantConnection:
            return await connect(system_url, role=SYSTEM_ROLE, name=f"{name}:system")

        # a worker takes jobs, ends them and sends them on, each of these once at a time
        system_statements = StatementPool(connect_system, size=max(3, pool // 3))
        stack.push_async_callback(system_statements.close)

        async def connect_reader() -> TenantConnection:
            return await connect(app_url, role=APP_ROLE, name=f"{name}:read", read_only=True)

        reads = StatementPool(connect_reader, size=pool)
        stack.push_async_callback(reads.close)
        replica = None
        if replica_url and notes is not None:
            replica = await stack.enter_async_context(_open_replica(app_url, replica_url, notes, pool=pool, name=name))
        yield Database(app=app, system=system, system_statements=system_statements, reads=reads, replica=replica)


@asynccontextmanager
async def _open_replica(primary_url: str, url: str, notes: Notes, *, pool: int, name: str) -> AsyncGenerator[Replica]:
    async def connect_reader(what: str = "replica") -> TenantConnection:
        return await connect(url, role=APP_ROLE, name=f"{name}:{what}", read_only=True)

    async def connect_primary() -> TenantConnection:
        return await connect(primary_url, role=APP_ROLE, name=f"{name}:position", read_only=True)

    reads = StatementPool(connect_reader, size=pool)
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


def _hand_out(dbapi_connection: Any, _record: Any, _proxy: Pool) -> None:
    """A connection leaves the pool without a tenant: what its last borrower set must not reach the next.

    One that the server has closed is replaced. To ask the server each time whether it is there would cost a transaction
    of its own; one that has gone without a word is found out by the time limits.
    """
    connection = cast("TenantConnection", dbapi_connection.driver_connection)
    if connection.is_closed():
        raise DisconnectionError("the server has closed this connection")
    connection.enter(None)
