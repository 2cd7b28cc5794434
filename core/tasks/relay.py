"""The relay: takes due jobs from the outbox and hands them to Redis, again and again until they are done.

PostgreSQL is the truth and Redis a doorbell: what Redis loses is sent again with growing patience, and a delivery too
many finds the job done and does nothing. Any number of relays may run.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import dramatiq
import redis.asyncio
import structlog
from msgspec import Struct
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from sqlalchemy import Double, and_, case, cast, func, or_, select, tuple_, update

from core.db.database import Database
from core.tasks.broker import OutboxBroker, doorbell_channel
from core.tasks.models import MAX_ATTEMPTS, OutboxJob
from core.tasks.registry import TaskRegistry

log = structlog.get_logger()

BATCH = 500
MAX_PATIENCE_SECONDS = 3600.0
WORKER_LOST = "The worker was lost while it ran"
"""Why a job is due although its lease was never given back."""


class Due(Struct, frozen=True, kw_only=True):
    """A job on its way to a queue."""

    organization_id: UUID
    id: UUID
    actor: str
    queue: str


class Relay:
    def __init__(
        self, *, database: Database, registry: TaskRegistry, broker: OutboxBroker, resend_after: float
    ) -> None:
        self._database = database
        self._registry = registry
        self._broker = broker
        self._resend_after = resend_after

    async def run(self, doorbell: "Doorbell") -> None:
        """Relay until cancelled: whenever the doorbell rings, and at each poll of it in any case."""
        while True:
            try:
                while await self.relay_once() == BATCH:
                    pass
            except Exception as error:  # PostgreSQL or Redis is away: nothing is lost, so look again later
                log.warning("relay.stalled", error=f"{type(error).__name__}: {error}")
            await doorbell.wait()

    async def relay_once(self) -> int:
        """Send what is due and return how many that were. Raises `RedisError` where Redis didn't take all of it."""
        due = await self._take_due()
        if not due:
            return 0
        try:
            await asyncio.to_thread(self._broker.enqueue_all, [_message(job) for job in due])
        except RedisError as error:  # some may have been taken: to be sent twice harms nothing
            await self._put_back(due)
            raise RedisError(f"{len(due)} jobs wait for Redis: {error}") from error
        return len(due)

    async def _take_due(self) -> list[Due]:
        now = func.now()
        waiting = and_(
            OutboxJob.done_at.is_(None),
            OutboxJob.parked_at.is_(None),
            OutboxJob.held_at.is_(None),
            OutboxJob.not_before <= now,
            or_(OutboxJob.leased_until.is_(None), OutboxJob.leased_until < now),
            OutboxJob.actor.in_(list(self._registry.actors)),
        )
        due = (
            select(OutboxJob.organization_id, OutboxJob.id)
            .where(waiting)
            .order_by(OutboxJob.not_before)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        patience = func.least(self._resend_after * func.power(2, cast(OutboxJob.sends, Double)), MAX_PATIENCE_SECONDS)
        hopeless = OutboxJob.attempts >= MAX_ATTEMPTS
        lost = OutboxJob.leased_until.is_not(None)
        take = (
            update(OutboxJob)
            .where(OutboxJob.organization_id == due.c.organization_id, OutboxJob.id == due.c.id)
            .values(
                sends=OutboxJob.sends + 1,
                not_before=now + timedelta(seconds=1) * patience,
                parked_at=case((hopeless, now), else_=None),
                last_error=case((lost, WORKER_LOST), else_=OutboxJob.last_error),
            )
            .returning(OutboxJob.organization_id, OutboxJob.id, OutboxJob.actor, OutboxJob.queue, OutboxJob.parked_at)
            .execution_options(synchronize_session=False)
        )
        async with self._database.system() as system:
            rows = (await system.execute(take)).all()
        return [
            Due(organization_id=row.organization_id, id=row.id, actor=row.actor, queue=row.queue)
            for row in rows
            if row.parked_at is None
        ]

    async def _put_back(self, unsent: list[Due]) -> None:
        async with self._database.system() as system:
            await system.execute(
                update(OutboxJob)
                .where(tuple_(OutboxJob.organization_id, OutboxJob.id).in_([(j.organization_id, j.id) for j in unsent]))
                .values(sends=func.greatest(OutboxJob.sends - 1, 0), not_before=func.now())
                .execution_options(synchronize_session=False)
            )


def _message(job: Due) -> dramatiq.Message[None]:
    return dramatiq.Message[None](
        queue_name=job.queue,
        actor_name=job.actor,
        args=(str(job.organization_id), str(job.id)),
        kwargs={},
        options={},
        message_id=str(job.id),
    )


class Doorbell:
    """Tells that a commit left jobs behind, through Redis; where Redis is away, a poll takes its place."""

    def __init__(self, client: "redis.asyncio.Redis", *, namespace: str, poll: float) -> None:
        self._client = client
        self._channel = doorbell_channel(namespace)
        self._poll = poll
        self._pubsub: PubSub | None = None

    async def wait(self) -> None:
        """Return when it rings, or after the poll's seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._poll
        try:
            pubsub = await self._subscribed()
            while (left := until - loop.time()) > 0:
                if await pubsub.get_message(ignore_subscribe_messages=True, timeout=left) is not None:
                    return
        except (RedisError, OSError):
            await self.close()
            await asyncio.sleep(max(0.0, until - loop.time()))

    async def _subscribed(self) -> PubSub:
        if self._pubsub is None:
            pubsub = self._client.pubsub()
            await pubsub.subscribe(self._channel)
            self._pubsub = pubsub
        return self._pubsub

    async def close(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with suppress(RedisError, OSError):
                await pubsub.aclose()
