"""The read lane on a replica, and nobody misses there what their organization has written.

A replica is behind by what it has not replayed yet. Each process that writes for an organization notes, before it
answers, how far the primary's log was by then; who reads on the replica looks the note up first, and reads on the
primary until the replica has come so far. The notes are in Redis: one sorted set, with a mark that tells when Redis has
lost them. Then, and whenever Redis is away, the primary is read, from which nothing is missing.

    REPLICA -> every 0.1 s: how far has it replayed?           PRIMARY -> every second: how far has it written?
    GET     -> Redis: how far must it have? -> replica or primary
    POST    -> commit -> primary: how far is it now? -> Redis
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import asyncpg
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from core.db.reads import Read, ReadLane
from core.db.statement_pool import StatementPool
from core.db.statements import Row
from core.db.tenancy import TenantConnection

log = structlog.get_logger()

POLL_SECONDS = 0.1
SAMPLE_SECONDS = RETRY_SECONDS = 1.0
ANSWER_SECONDS = 1.0
SAMPLES = 60
"""How far the primary was, second by second. Notes from before the first of them are dropped."""
BEHIND_AT_MOST = 10
"""Samples. A replica that has not replayed what the primary had written by then is not read at all."""
STALE_SECONDS = 5.0
"""A process that hasn't heard from the primary for so long, as it was stopped itself, doesn't know what is near."""
CATCH_UP_SECONDS = 1.0
"""How long an answer waits for the replica where no other process could be told what was written."""
KEPT_SECONDS = 86_400
EPOCH = "epoch"
"""The member of the set that tells one Redis from the next: it is drawn by whoever finds none."""

_REPLAYED = "SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint END"
"""In bytes of the log; null once it was promoted, as it goes its own way from then on."""
_WRITTEN = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
)
"""What a read meets on a replica that ends, is restarted, or cancels what stands in the way of its replay."""

type Connect = Callable[[], Awaitable[TenantConnection]]


class Notes:
    """How far the log was when each organization's last write was done, known to every process."""

    def __init__(self, client: "redis.asyncio.Redis", key: str) -> None:
        self._client = client
        self._key = key
        self.epoch: float | None = None

    async def write(self, organization_id: UUID, position: int) -> bool:
        """Whether it was noted; False where Redis is away. A note never goes back."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.zadd(self._key, {str(organization_id): position}, gt=True)
                pipeline.expire(self._key, KEPT_SECONDS)
                await pipeline.execute()
        except (RedisError, OSError) as error:
            log.warning("replica.not_noted", error=type(error).__name__)
            return False
        return True

    async def find(self, organization_id: UUID) -> int | None:
        """0 where nothing was noted; None where that can't be known: Redis is away, or has lost what it knew."""
        try:
            noted, epoch = await self._client.zmscore(self._key, [str(organization_id), EPOCH])
            if epoch is None:
                await self._client.zadd(self._key, {EPOCH: -1 - random.random()}, nx=True)  # noqa: S311
        except (RedisError, OSError):
            self.epoch = None
            return None
        if epoch is None or epoch != self.epoch:
            self.epoch = epoch
            return None
        return int(noted or 0)

    async def forget(self, position: int) -> None:
        """Drop what lies so far back that no replica is read that hasn't replayed it."""
        with suppress(RedisError, OSError):
            await self._client.zremrangebyscore(self._key, 0, position)


class Replica:
    """A pool on a replica, and whether an organization may be read there. `run` goes on until it is cancelled."""

    def __init__(self, pool: StatementPool, notes: Notes, *, replica: Connect, primary: Connect) -> None:
        """`replica` and `primary` open the connections on which their positions are asked for."""
        self.pool = pool
        self._notes = notes
        self._connect_replica = replica
        self._connect_primary = primary
        self._replayed = 0
        self._is_away = False
        """Whether the log has been told so."""
        self._heard = asyncio.Event()
        """Set for a moment each time that the replica says how far it is."""
        self._floor: int | None = None
        """What has to be replayed whoever asks, as notes before that may be unknown; None until it is known."""
        self._written: deque[int] = deque(maxlen=SAMPLES)
        self._sampled_at = 0.0
        self._gaps = 0
        """How often it was found that notes may be unknown."""

    async def serves(self, organization_id: UUID) -> bool:
        """Whether the replica has all that the organization has written by now."""
        if not self._is_near:
            return False
        noted = await self._notes.find(organization_id)
        if noted is None:
            self._floor, self._gaps = None, self._gaps + 1
        return noted is not None and self._floor is not None and self._replayed >= max(noted, self._floor)

    @property
    def _is_near(self) -> bool:
        if self._floor is None or not self._written or time.monotonic() - self._sampled_at > STALE_SECONDS:
            return False
        return self._replayed >= max(self._floor, self._written[-min(BEHIND_AT_MOST, len(self._written))])

    async def note(self, organization_id: UUID, written: int) -> None:
        """Have every process know that the organization has written, before anybody is told that it has."""
        if await self._notes.write(organization_id, written):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while 0 < self._replayed < written:
                    await self._heard.wait()

    def fail(self, error: BaseException) -> None:
        """A read has failed there: it is not read again before it has answered."""
        if not self._is_away:
            log.warning("replica.away", error=type(error).__name__)
        self._is_away, self._replayed = True, 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_again(self._follow_replica))
            group.create_task(_again(self._follow_primary))

    async def _follow_replica(self) -> None:
        connection = None
        try:
            connection = await self._connect_replica()
            while True:
                self._replayed = await connection.fetchval(_REPLAYED, timeout=ANSWER_SECONDS) or 0
                self._heard.set()
                self._heard.clear()
                if self._is_away and self._replayed:
                    self._is_away = False
                    log.info("replica.there")
                await asyncio.sleep(POLL_SECONDS)
        except Exception as error:
            self.fail(error)
            raise
        finally:
            if connection is not None:
                connection.terminate()

    async def _follow_primary(self) -> None:
        connection = await self._connect_primary()
        try:
            while True:
                gaps = self._gaps
                self._written.append(await connection.fetchval(_WRITTEN, timeout=ANSWER_SECONDS))
                self._sampled_at = time.monotonic()
                if self._floor is None and gaps == self._gaps:
                    self._floor = self._written[-1]
                if len(self._written) == SAMPLES:
                    await self._notes.forget(self._written[0])
                await asyncio.sleep(SAMPLE_SECONDS)
        finally:
            self._written.clear()
            connection.terminate()


async def position_of(primary: TenantConnection) -> int:
    """How far the primary's log is by now, at least."""
    return await primary.fetchval(_WRITTEN)


async def _again(follow: Callable[[], Awaitable[None]]) -> None:
    while True:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await follow()
        await asyncio.sleep(RETRY_SECONDS)


class EitherLane(ReadLane):
    """The reads of one request that changes nothing: on the replica where that serves its organization, else on the
    primary. What fails there because the replica goes away is asked of the primary."""

    __slots__ = ("_on_replica", "_replica")

    def __init__(self, primary: StatementPool, replica: Replica, tenant: UUID) -> None:
        super().__init__(primary, tenant)
        self._replica = replica
        self._on_replica: bool | None = None
        """None until the first read asks."""

    async def rows(self, read: Read, /, **values: Any) -> list[Row]:
        with self._failing():
            if await self._is_served():
                return await ReadLane(self._replica.pool, self._tenant).rows(read, **values)
        return await super().rows(read, **values)

    async def first(self, read: Read, /, **values: Any) -> Row | None:
        with self._failing():
            if await self._is_served():
                return await ReadLane(self._replica.pool, self._tenant).first(read, **values)
        return await super().first(read, **values)

    async def stream(self, read: Read, /, **values: Any) -> AsyncIterator[Row]:
        """Once the first rows are out, the answer has begun, and a replica that goes away ends it."""
        begun = False
        with self._failing(lambda: begun):
            if await self._is_served():
                async for row in ReadLane(self._replica.pool, self._tenant).stream(read, **values):
                    begun = True
                    yield row
                return
        async for row in super().stream(read, **values):
            yield row

    async def _is_served(self) -> bool:
        if self._on_replica is None:
            self._on_replica = await self._replica.serves(self._tenant)
        return self._on_replica

    @contextmanager
    def _failing(self, is_too_late: Callable[[], bool] = lambda: False) -> Generator[None]:
        """After what tells that the replica is away, it goes on behind the block."""
        try:
            yield
        except asyncpg.QueryCanceledError:
            raise  # it takes too long, as it would on the primary
        except AWAY as error:
            self._on_replica = False
            self._replica.fail(error)
            if is_too_late():
                raise
