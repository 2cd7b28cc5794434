"""The read lane's connections. Each stays in the tenant that it served last, so that a read is one round trip and not
three; before it serves another tenant, it is put into that one, and nothing is asked of it until PostgreSQL has said
that it is there.

The pool has one door, `acquire(tenant)`, and whoever names no tenant gets a connection that is in none. A connection
whose borrower was cancelled, ran out of time or left in the middle of something is closed and never lent again. What
it is asked carries its own tenant predicate besides: two walls, and both would have to fall.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import asyncpg

from core.db.tenancy import TenantConnection

ACQUIRE_SECONDS = 2.0
"""For a connection to be free, and to be made where it is a new one."""
CLOSE_SECONDS = 1.0
"""For the server to end what a connection was doing, before it is simply let go."""
IDLE_SECONDS = 60.0
"""How long a connection is kept that nobody needs."""

type Connect = Callable[[], Awaitable[TenantConnection]]
type Waiting = asyncio.Future[TenantConnection | None]
"""Gets a connection, or None for the place of one that is gone."""


class ReadPool:
    def __init__(self, connect: Connect, *, size: int) -> None:
        self._connect = connect
        self._size = size
        self._open = 0
        """Connections that there are, among them those being made and those being closed."""
        self._idle: dict[TenantConnection, float] = {}
        """Since when; whoever has been idle longest comes first."""
        self._lent: set[TenantConnection] = set()
        self._waiting: deque[Waiting] = deque()
        self._partings: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    @asynccontextmanager
    async def acquire(
        self, tenant: UUID | None = None, *, within: float = ACQUIRE_SECONDS
    ) -> AsyncGenerator[TenantConnection]:
        """A connection that sees `tenant` alone, or no tenant's rows. Raises `TimeoutError` where none gets free."""
        connection = self._idle_for(tenant)
        if connection is None:
            async with asyncio.timeout(within):
                connection = await self._next()
        self._lent.add(connection)
        is_sound = False
        try:
            await connection.serve(tenant)
            yield connection
            is_sound = True
        except asyncpg.PostgresError:
            is_sound = True  # the server has refused a statement; nothing is left of it
            raise
        finally:
            self._lent.discard(connection)
            if is_sound and not connection.is_closed() and not connection.is_in_transaction() and not self._closed:
                self._hand_on(connection)
            else:
                self._part_with(connection)

    def _idle_for(self, tenant: UUID | None) -> TenantConnection | None:
        """One that is in the tenant already; else one of those of a tenant who has several; else the one that has been
        idle longest. So the tenants of the hour keep one each."""
        while self._idle:
            found = self._best_for(tenant)
            del self._idle[found]
            if not found.is_closed():
                return found
            self._one_less()
        return None

    def _best_for(self, tenant: UUID | None) -> TenantConnection:
        kept: dict[UUID | None, TenantConnection] = {}
        spare: TenantConnection | None = None
        for connection in self._idle:
            if connection.serves == tenant:
                return connection
            if spare is None:
                spare = kept.get(connection.serves)
                kept[connection.serves] = connection
        return spare or next(iter(self._idle))

    async def _next(self) -> TenantConnection:
        if self._closed:
            raise asyncpg.InterfaceError("the read lane is closed")
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
                self._hand_on(handed)
            else:
                self._one_less()
            raise

    def _hand_on(self, connection: TenantConnection) -> None:
        if not self._wake(connection):
            self._idle[connection] = asyncio.get_running_loop().time()

    def _wake(self, connection: TenantConnection | None) -> bool:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(connection)
                return True
        return False

    def _one_less(self) -> None:
        """Whoever waits may make one in its place."""
        if not self._wake(None):
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
        now = asyncio.get_running_loop().time()
        for connection in [c for c, since in self._idle.items() if now - since >= IDLE_SECONDS]:
            del self._idle[connection]
            self._part_with(connection)
        self._sweeping = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep) if self._open else None

    async def close(self) -> None:
        """Those that are lent are cut off: whoever closes a process has no use for their answers."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in self._idle:
            self._part_with(connection)
        self._idle.clear()
        for connection in self._lent:
            connection.terminate()
        await asyncio.gather(*self._partings)
