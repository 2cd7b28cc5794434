"""The worker process: Dramatiq's threads fetch deliveries; jobs, relay and schedule share one event loop.

On SIGTERM it stops fetching, lets running jobs end, hands prefetched deliveries back and exits. A job that outlives
the grace period is cut off and taken up again from its last checkpoint once its lease runs out.
"""

import asyncio
import signal
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any
from uuid import UUID

import dramatiq
import structlog
from dramatiq.brokers.redis import RedisBroker

from core.tasks.jobs import JobRunner
from core.tasks.registry import TaskRegistry
from core.tasks.relay import Doorbell, Relay
from core.tasks.schedule import Scheduler

log = structlog.get_logger()

GRACE_SECONDS = 25.0


def declare_actors(broker: dramatiq.Broker, registry: TaskRegistry, run: Callable[[UUID], None]) -> None:
    """Give Dramatiq an actor for each of ours. All do the same: run the job whose id they are handed."""

    def deliver(job_id: str) -> None:
        run(UUID(job_id))

    for queue in registry.queues:
        broker.declare_queue(queue)
    for name, actor in registry.actors.items():
        dramatiq.Actor(deliver, broker=broker, actor_name=name, queue_name=actor.queue, priority=0, options={})


class Worker:
    """One worker process. `run` returns after SIGTERM or SIGINT."""

    def __init__(
        self,
        *,
        broker: RedisBroker,
        registry: TaskRegistry,
        runner: JobRunner,
        relay: Relay,
        scheduler: Scheduler,
        doorbell: Doorbell,
        threads: int,
    ) -> None:
        self._broker = broker
        self._registry = registry
        self._runner = runner
        self._relay = relay
        self._scheduler = scheduler
        self._doorbell = doorbell
        self._threads = threads
        self._running: set[Future[Any]] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        declare_actors(self._broker, self._registry, lambda job_id: self._run_on(loop, job_id))
        consumer = dramatiq.Worker(self._broker, worker_threads=self._threads, worker_timeout=200)
        consumer.start()
        tasks = [
            asyncio.create_task(self._relay.run(self._doorbell), name="relay"),
            asyncio.create_task(self._scheduler.run(), name="scheduler"),
        ]
        log.info("worker.started", queues=sorted(self._registry.queues), threads=self._threads)
        try:
            await stop.wait()
        finally:
            log.info("worker.stopping")
            for task in tasks:
                task.cancel()
            await self._stop(consumer)
            await self._doorbell.close()
            log.info("worker.stopped")

    def _run_on(self, loop: asyncio.AbstractEventLoop, job_id: UUID) -> None:
        """Called in a Dramatiq thread: run the job on the event loop and wait for its end."""
        future = asyncio.run_coroutine_threadsafe(self._runner.run(job_id), loop)
        self._running.add(future)
        try:
            with suppress(CancelledError):
                future.result()
        finally:
            self._running.discard(future)

    async def _stop(self, consumer: dramatiq.Worker) -> None:
        stopping = asyncio.create_task(asyncio.to_thread(consumer.stop, timeout=int(GRACE_SECONDS * 1000)))
        _, pending = await asyncio.wait({stopping}, timeout=GRACE_SECONDS)
        if pending:
            for future in list(self._running):
                future.cancel()
            await stopping
