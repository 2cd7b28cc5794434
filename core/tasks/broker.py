"""Redis for the tasks room: the Dramatiq broker and the doorbell's ringing end. Every client has a time-out."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Any, cast

import dramatiq
import redis
import redis.asyncio
import structlog
from dramatiq.brokers.redis import RedisBroker
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from core.tasks.redis_keys import RedisKeys

log = structlog.get_logger()

REDIS_SECONDS = 0.2
"""redis-py's own defaults would hang a caller 4 s on a refused port and a minute on a black-holed one."""

PAUSE_SECONDS = 0.01
"""Between two rings. The relay takes all that is due each time, so more of them would tell it nothing."""


def doorbell_channel(namespace: str) -> str:
    return RedisKeys(namespace).of_platform("doorbell")


def redis_client(url: str, *, seconds: float = REDIS_SECONDS) -> "redis.asyncio.Redis":
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=AsyncRetry(NoBackoff(), 0),
        health_check_interval=15,
    )


class OutboxBroker(RedisBroker):
    """Dramatiq's broker, which can also be handed many messages at once."""

    def enqueue_all(self, messages: "Iterable[dramatiq.Message[None]]") -> None:
        """What `enqueue` does for each, in one round trip. Raises `RedisError` where Redis didn't take all of them;
        which of them it took is then unknown."""
        scripts = cast("dict[str, Any]", self.scripts)
        client = cast("redis.Redis", self.client)
        with client.pipeline(transaction=False) as pipeline:
            batching = copy(self)
            batching.scripts = {**scripts, "dispatch": partial(scripts["dispatch"], client=pipeline)}
            for message in messages:
                batching.enqueue(message)
            pipeline.execute()


def make_broker(url: str, *, namespace: str, middleware: list[dramatiq.Middleware] | None = None) -> OutboxBroker:
    """A broker without Dramatiq's own retries: the outbox decides what is tried again and when."""
    client = redis.Redis.from_url(
        url, socket_timeout=2.0, socket_connect_timeout=REDIS_SECONDS, retry=Retry(NoBackoff(), 0)
    )
    return OutboxBroker(
        client=client, namespace=RedisKeys(namespace).of_platform("queues"), middleware=middleware or []
    )


class Bell:
    """Rings the doorbell after a commit, without making anybody wait and without ever failing them."""

    def __init__(self, client: "redis.asyncio.Redis", *, namespace: str) -> None:
        self._client = client
        self._channel = doorbell_channel(namespace)
        self._is_asked = False
        self._ringing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def ring(self) -> None:
        """At once, or where it has rung this moment, a moment later for all who asked meanwhile."""
        self._is_asked = True
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._ring_while_asked())

    async def _ring_while_asked(self) -> None:
        while self._is_asked:
            self._is_asked = False
            await self._publish()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), PAUSE_SECONDS)

    async def _publish(self) -> None:
        try:
            await self._client.publish(self._channel, b"1")
        except (RedisError, OSError) as error:
            log.debug("doorbell.away", error=str(error))

    async def close(self) -> None:
        """Once all who asked have been heard. Its client is closed after it."""
        self._closing.set()
        if self._ringing is not None:
            await self._ringing
