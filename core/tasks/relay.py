"""The relay: takes due jobs from the outbox and hands them to Redis, again and again until they are done.

PostgreSQL is the truth and Redis a doorbell: what Redis loses is sent again with growing patience, and a delivery too
many finds the job done and does nothing. Any number of relays may run.
"""

import asyncio
from contextlib import suppress
from typing import cast
from uuid import UUID

import dramatiq
import redis.asyncio
import structlog
from msgspec import Struct
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError
from sqlalchemy import (
    ARRAY,
    Double,
    Table,
    Uuid,
    and_,
    bindparam,
    case,
    column,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy import cast as cast_as

from core.db.database import Database
from core.db.statements import Statement
from core.tasks.broker import OutboxBroker, doorbell_channel
from core.tasks.claims import SECOND
from core.tasks.models import MAX_ATTEMPTS, OutboxJob
from core.tasks.registry import TaskRegistry

log = structlog.get_logger()

BATCH = 500
MAX_PATIENCE_SECONDS = 3600.0
WORKER_LOST = "The worker was lost while it ran"
"""Why a job is due although its lease was never given back."""


_JOBS = cast("Table", OutboxJob.__table__)


class Due(Struct, frozen=True):
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
        self._broker = broker
        self._take = take_statement(frozenset(registry.actors), resend_after)

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
            await asyncio.to_thread(self._broker.enqueue_all, map(_message, due))
        except RedisError as error:  # some may have been taken: to be sent twice harms nothing
            await self._put_back(due)
            raise RedisError(f"{len(due)} jobs wait for Redis: {error}") from error
        return len(due)

    async def _take_due(self) -> list[Due]:
        rows = await self._database.as_system(self._take)
        return [Due(*values) for *values, parked_at in rows if parked_at is None]

    async def _put_back(self, unsent: list[Due]) -> None:
        organization_ids, ids = [job.organization_id for job in unsent], [job.id for job in unsent]
        await self._database.as_system(_PUT_BACK, organization_ids=organization_ids, ids=ids)


def take_statement(actors: frozenset[str], resend_after: float) -> Statement:
    """What is due is sent, and due again after a patience that doubles with each time; what was tried too often is
    parked instead."""
    now = func.now()
    waiting = and_(
        _JOBS.c.done_at.is_(None),
        _JOBS.c.parked_at.is_(None),
        _JOBS.c.held_at.is_(None),
        _JOBS.c.not_before <= now,
        or_(_JOBS.c.leased_until.is_(None), _JOBS.c.leased_until < now),
        _JOBS.c.actor.in_([literal(actor) for actor in sorted(actors)]),
    )
    due = (
        select(_JOBS.c.organization_id, _JOBS.c.id)
        .where(waiting)
        .order_by(_JOBS.c.not_before)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    patience = func.least(resend_after * func.power(2, cast_as(_JOBS.c.sends, Double)), MAX_PATIENCE_SECONDS)
    hopeless = _JOBS.c.attempts >= MAX_ATTEMPTS
    lost = _JOBS.c.leased_until.is_not(None)
    return Statement(
        update(_JOBS)
        .where(_JOBS.c.organization_id == due.c.organization_id, _JOBS.c.id == due.c.id)
        .values(
            sends=_JOBS.c.sends + 1,
            not_before=now + SECOND * patience,
            parked_at=case((hopeless, now), else_=None),
            last_error=case((lost, WORKER_LOST), else_=_JOBS.c.last_error),
        )
        .returning(*(_JOBS.c[name] for name in Due.__struct_fields__), _JOBS.c.parked_at)
    )


_UNSENT = (
    func.unnest(bindparam("organization_ids", type_=ARRAY(Uuid)), bindparam("ids", type_=ARRAY(Uuid)))
    .table_valued(column("organization_id", Uuid), column("id", Uuid))
    .render_derived()
)
_PUT_BACK = Statement(
    update(_JOBS)
    .where(_JOBS.c.organization_id == _UNSENT.c.organization_id, _JOBS.c.id == _UNSENT.c.id)
    .values(sends=func.greatest(_JOBS.c.sends - 1, 0), not_before=func.now())
)


def _message(job: Due) -> "dramatiq.Message[None]":
    return dramatiq.Message(
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
