"""A bench for jobs: actors that exist for one test alone, and everything that runs them."""

from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from dramatiq import Message
from sqlalchemy import func, select, update

from core.settings import Settings
from core.tasks.broker import OutboxBroker, make_broker
from core.tasks.context import Ctx
from core.tasks.jobs import JobRunner
from core.tasks.models import DomainEvent, OutboxJob
from core.tasks.registry import Actor, ActorFunction, Event, Schedule, TaskRegistry, actor
from core.tasks.relay import Relay
from core.testing.tenants import Tenant

LEASE_SECONDS = 2.0
RESEND_SECONDS = 1.0
RAN_OUT = func.now() - timedelta(seconds=1)


class Counted(Event, frozen=True, kw_only=True):
    """What an actor on the bench does to the world: an event that can be counted."""

    type = "bench.counted"
    number: int


async def count(ctx: Ctx, *, number: int) -> None:
    ctx.emit(Counted(number=number))


class Bench:
    """One tenant, a registry of actors named as no other test's, and the parts of a worker."""

    def __init__(self, tenant: Tenant, broker: OutboxBroker) -> None:
        self.tenant = tenant
        self.broker = broker
        self.name = f"bench-{uuid4().hex[:8]}"
        self._actors: list[Actor] = []
        self._schedules: list[Schedule] = []
        self.counting = self.actor(count)

    def actor(self, function: ActorFunction) -> Actor:
        return self.add(actor(name=f"{self.name}.{function.__name__}")(function))

    def add(self, made: Actor) -> Actor:
        self._actors.append(made)
        return made

    def schedule(self, made: Actor, *, every: timedelta) -> Schedule:
        self._schedules.append(Schedule(actor=made, every=every))
        return self._schedules[-1]

    @property
    def registry(self) -> TaskRegistry:
        return TaskRegistry(self._actors, self._schedules)

    def ctx(self, correlation_id: str = "") -> Ctx:
        ctx = self.tenant.ctx()
        return Ctx(
            principal=ctx.principal,
            database=self.tenant.database,
            registry=self.registry,
            cursors=self.tenant.application.runtime.cursors,
            modules=self.registry.modules.all_on(),
            correlation_id=correlation_id,
        )

    async def enqueue_counting(self, jobs: int) -> list[UUID]:
        """So many jobs that each count one number, all in one transaction."""
        ctx = self.ctx()
        ids = [ctx.enqueue(self.counting, number=number) for number in range(jobs)]
        await ctx.commit()
        await ctx.close()
        return sorted(ids)

    async def enqueue(self, made: Actor, **arguments: Any) -> UUID:
        ctx = self.ctx()
        job_id = ctx.enqueue(made, **arguments)
        await ctx.commit()
        await ctx.close()
        return job_id

    async def run(self, job_id: UUID, *, organization_id: UUID | None = None) -> None:
        """One delivery of the job."""
        runner = JobRunner(
            database=self.tenant.database,
            registry=self.registry,
            cursors=self.tenant.application.runtime.cursors,
            modules=self.tenant.application.litestar.state.services.modules,
            lease_seconds=LEASE_SECONDS,
        )
        await runner.run(organization_id or self.tenant.organization_id, job_id)

    def relay(self, broker: OutboxBroker | None = None) -> Relay:
        return Relay(
            database=self.tenant.database,
            registry=self.registry,
            broker=broker or self.broker,
            resend_after=RESEND_SECONDS,
        )

    async def job(self, job_id: UUID) -> OutboxJob:
        async with self.tenant.database.system() as system:
            return (await system.scalars(select(OutboxJob).where(OutboxJob.id == job_id))).one()

    async def change(self, job_id: UUID, **values: Any) -> None:
        """Set the job's row, as time or a fault would."""
        async with self.tenant.database.system() as system:
            await system.execute(update(OutboxJob).where(OutboxJob.id == job_id).values(**values))

    async def seconds_to_wait(self, job_id: UUID) -> float:
        async with self.tenant.database.system() as system:
            seconds = func.extract("epoch", OutboxJob.not_before - func.now())
            return float((await system.scalars(select(seconds).where(OutboxJob.id == job_id))).one())

    async def jobs(self) -> list[OutboxJob]:
        """The tenant's jobs, oldest first."""
        async with self.tenant.database.system() as system:
            mine = OutboxJob.organization_id == self.tenant.organization_id
            return list(await system.scalars(select(OutboxJob).where(mine).order_by(OutboxJob.id)))

    async def effects(self) -> list[int]:
        """Numbers of the `Counted` events that were committed, in order."""
        async with self.tenant.database.system() as system:
            payloads = await system.scalars(
                select(DomainEvent.payload).where(
                    DomainEvent.organization_id == self.tenant.organization_id, DomainEvent.type == Counted.type
                )
            )
            return sorted(payload["number"] for payload in payloads)

    def deliveries(self, queue: str = "default") -> list[UUID]:
        """The ids of the jobs that wait in Redis, once for each time they were sent."""
        raw: dict[bytes, bytes] = self.broker.client.hgetall(f"{self.broker.namespace}:{queue}.msgs")  # type: ignore[assignment]
        return sorted(UUID(Message.decode(message).args[1]) for message in raw.values())


@pytest.fixture
def broker(settings: Settings) -> Iterator[OutboxBroker]:
    broker = make_broker(settings.redis_url, namespace=f"bench-{uuid4().hex[:8]}")
    yield broker
    broker.close()
    broker.client.close()


@pytest.fixture
async def bench(acme: Tenant, broker: OutboxBroker) -> AsyncGenerator[Bench]:
    yield Bench(acme, broker)
