"""Connections for statements that are transactions of their own: the read lane's, and those of the system role.

Each stays in the tenant that it served last, so that a read is one round trip and not three; before it serves another
tenant, it is put into that one, and nothing is asked of it until PostgreSQL has said that it is there. As that is a
round trip, a read waits a moment for a connection that is busy in its own tenant before it takes one away from another.

The pool has one door, `acquire(tenant)`, and whoever names no tenant gets a connection that is in none. A connection
whose borrower was cancelled, ran out of time or left in the middle of something is closed and never lent again. What
it is asked carries its own tenant predicate besides: two walls, and both would have to fall.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from uuid import UUID

import asyncpg

from core.db.tenancy import TenantConnection

ACQUIRE_SECONDS = 2.0
"""For a connection to be free, and to be made where it is a new one."""
OWN_SECONDS = 0.002
"""For one that is busy in the same tenant to be free: about as long as it takes to put another into it."""
CLOSE_SECONDS = 1.0
"""For the server to end what a connection was doing, before it is simply let go."""
IDLE_SECONDS = 60.0
"""How long a connection is kept that nobody needs."""

type Connect = Callable[[], Awaitable[TenantConnection]]
type Waiting = asyncio.Future[TenantConnection | None]
"""Gets a connection, or None for the place of one that is gone."""


class Loan:
    """A connection for the length of an `async with`."""

    __slots__ = ("_connection", "_pool", "_tenant", "_within")

    _connection: TenantConnection

    def __init__(self, pool: "StatementPool", tenant: UUID | None, within: float) -> None:
        self._pool = pool
        self._tenant = tenant
        self._within = within

    async def __aenter__(self) -> TenantConnection:
        self._connection = await self._pool.lend(self._tenant, within=self._within)
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._pool.take_back(self._connection, after=error)


class StatementPool:
    def __init__(self, connect: Connect, *, size: int) -> None:
        self._connect = connect
        self._size = size
        self._open = 0
        """Connections that there are, among them those being made and those being closed."""
        self._idle: dict[UUID | None, dict[TenantConnection, float]] = {}
        """By the tenant that they are in, with the time since when. The tenant that has had one longest comes first,
        and none is there without any."""
        self._lent: set[TenantConnection] = set()
        self._waiting: deque[Waiting] = deque()
        self._waiting_in: dict[UUID | None, deque[Waiting]] = {}
        """For a connection of the same tenant."""
        self._partings: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    def acquire(self, tenant: UUID | None = None, *, within: float = ACQUIRE_SECONDS) -> Loan:
        """A connection that sees `tenant` alone, or no tenant's rows. Raises `TimeoutError` where none gets free."""
        return Loan(self, tenant, within)

    async def lend(self, tenant: UUID | None, *, within: float) -> TenantConnection:
        """For a `Loan`, which takes it back."""
        connection = self._idle_in(tenant)
        if connection is None and not self._waiting and self._is_busy_in(tenant):
            connection = await self._next_of(tenant)
        if connection is None:
            connection = self._idle_elsewhere()
        if connection is None:
            async with asyncio.timeout(within):
                connection = await self._next()
        self._lent.add(connection)
        try:
            await connection.serve(tenant)
        except BaseException as error:
            self.take_back(connection, after=error)
            raise
        return connection

    def take_back(self, connection: TenantConnection, *, after: BaseException | None) -> None:
        """`after` is what its borrower left with. Where that is the server's refusal of a statement, nothing is left of
        it."""
        self._lent.discard(connection)
        is_sound = after is None or isinstance(after, asyncpg.PostgresError)
        if is_sound and not connection.is_closed() and not connection.is_in_transaction() and not self._closed:
            self._hand_on(connection)
        else:
            self._part_with(connection)

    def _idle_in(self, tenant: UUID | None) -> TenantConnection | None:
        while (idle := self._idle.get(tenant)) is not None:
            found, _ = idle.popitem()
            if not idle:
                del self._idle[tenant]
            if not found.is_closed():
                return found
            self._one_less()
        return None

    def _idle_elsewhere(self) -> TenantConnection | None:
        """One of the tenant who has most, so that the tenants of the hour keep one each; where all have one, the one
        that has been idle longest."""
        while self._idle:
            most = max(self._idle, key=lambda tenant: len(self._idle[tenant]))
            if (found := self._idle_in(most)) is not None:
                return found
        return None

    def _is_busy_in(self, tenant: UUID | None) -> bool:
        return tenant in self._waiting_in or any(lent.serves == tenant for lent in self._lent)

    async def _next_of(self, tenant: UUID | None) -> TenantConnection | None:
        """One of the tenant's as soon as it comes back; None where that takes too long."""
        loop = asyncio.get_running_loop()
        waiting: Waiting = loop.create_future()
        self._waiting_in.setdefault(tenant, deque()).append(waiting)
        timer = loop.call_later(OWN_SECONDS, _give_up, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if not waiting.cancelled() and (handed := waiting.result()) is not None:
                self.take_back(handed, after=None)
            raise
        finally:
            timer.cancel()
            self._leave_queue(tenant, waiting)

    def _leave_queue(self, tenant: UUID | None, waiting: Waiting) -> None:
        if (queue := self._waiting_in.get(tenant)) is not None:
            with suppress(ValueError):  # whoever was handed one stands there no more
                queue.remove(waiting)
            if not queue:
                del self._waiting_in[tenant]

    async def _next(self) -> TenantConnection:
        if self._closed:
            raise asyncpg.InterfaceError("the pool is closed")
        if self._open < self._size:
            self._open += 1
        elif (handed := await self._wait()) is not None:
            return handed
        try:
            connection = await self._connect()
        except BaseException:
            self._one_less()
            raise
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)
        return connection

    async def _wait(self) -> TenantConnection | None:
        waiting: Waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.cancelled():
                with suppress(ValueError):  # `_wake` may have passed it over already
                    self._waiting.remove(waiting)
            elif (handed := waiting.result()) is not None:
                self.take_back(handed, after=None)
            else:
                self._one_less()
            raise

    def _hand_on(self, connection: TenantConnection) -> None:
        """Those who have waited in vain for one of their own tenant, and now take any, come first."""
        tenant = connection.serves
        if _wake(self._waiting, connection):
            self._tell_of_the_last(tenant)
        elif not _wake(self._waiting_in.get(tenant), connection):
            self._idle.setdefault(tenant, {})[connection] = asyncio.get_running_loop().time()

    def _tell_of_the_last(self, tenant: UUID | None) -> None:
        """Where the tenant's last connection has gone, whoever waits for one of them takes any."""
        if tenant in self._waiting_in and not any(lent.serves == tenant for lent in self._lent):
            for waiting in self._waiting_in[tenant]:
                _give_up(waiting)

    def _one_less(self) -> None:
        """Whoever waits may make one in its place."""
        if not _wake(self._waiting, None):
            self._open -= 1

    def _part_with(self, connection: TenantConnection) -> None:
        """Its place is free once the server has ended what it was doing: there are never more than there may be."""
        parting = asyncio.create_task(self._close(connection))
        self._partings.add(parting)
        parting.add_done_callback(self._partings.discard)

    async def _close(self, connection: TenantConnection) -> None:
        try:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=CLOSE_SECONDS)
        finally:
            connection.terminate()
            self._one_less()

    def _sweep(self) -> None:
        long_ago = asyncio.get_running_loop().time() - IDLE_SECONDS
        for tenant, idle in list(self._idle.items()):
            for connection in [each for each, since in idle.items() if since <= long_ago]:
                del idle[connection]
                self._part_with(connection)
            if not idle:
                del self._idle[tenant]
        self._sweeping = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep) if self._open else None

    async def close(self) -> None:
        """Those that are lent are cut off: whoever closes a process has no use for their answers."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in [each for idle in self._idle.values() for each in idle]:
            self._part_with(connection)
        self._idle.clear()
        for connection in self._lent:
            connection.terminate()
        await asyncio.gather(*self._partings)


def _wake(queue: deque[Waiting] | None, handed: TenantConnection | None) -> bool:
    """Whether somebody in the queue took it."""
    while queue:
        waiting = queue.popleft()
        if not waiting.done():
            waiting.set_result(handed)
            return True
    return False


def _give_up(waiting: Waiting) -> None:
    if not waiting.done():
        waiting.set_result(None)
