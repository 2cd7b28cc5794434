"""The worker process: Dramatiq's threads fetch deliveries; jobs, relay, schedule and chores share one event loop.

On SIGTERM it stops fetching, lets running jobs end, hands prefetched deliveries back and exits. A job that outlives
the grace period is cut off and taken up again from its last checkpoint once its lease runs out.
"""

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from uuid import UUID

import dramatiq
import structlog
from redis.exceptions import RedisError

from core.tasks.broker import OutboxBroker
from core.tasks.chores import Chore, run_chores
from core.tasks.jobs import JobRunner
from core.tasks.registry import TaskRegistry
from core.tasks.relay import Doorbell, Relay
from core.tasks.schedule import Scheduler

log = structlog.get_logger()

GRACE_SECONDS = 22.0
"""For running jobs to end, once the worker is told to stop."""
FAREWELL_SECONDS = 3.0
"""For their deliveries to be acknowledged and the rest to be handed back. Where Redis is away that can't be done, and
need not be: the relay sends again what is not done."""
IDLE_MILLISECONDS = 200


class QueueConsumer:
    """Fetches one queue's deliveries in threads of its own, so that slow work in one queue holds up no other."""

    def __init__(self, broker: OutboxBroker, queue: str, *, threads: int) -> None:
        self._broker = broker
        self._queue = queue
        self._worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=IDLE_MILLISECONDS)

    def start(self, registry: TaskRegistry, deliver: Callable[[str, str], None]) -> None:
        """Give Dramatiq an actor for each of ours. All do the same: run the job whose key they are handed."""
        self._broker.declare_queue(self._queue)
        for actor in registry.actors.values():
            if actor.queue == self._queue:
                dramatiq.Actor(
                    deliver, broker=self._broker, actor_name=actor.name, queue_name=self._queue, priority=0, options={}
                )
        self._worker.start()

    def stop(self, *, seconds: float) -> None:
        """Blocks until running jobs have ended and prefetched deliveries are back in Redis, where that is possible."""
        try:
            self._worker.stop(timeout=int(seconds * 1000))
            self._broker.close()
        except RedisError as error:
            log.warning("worker.deliveries_left", queue=self._queue, error=str(error))


class Worker:
    """One worker process. `run` returns after SIGTERM or SIGINT, and raises what relay or scheduler die of."""

    def __init__(
        self,
        *,
        make_broker: Callable[[], OutboxBroker],
        registry: TaskRegistry,
        runner: JobRunner,
        relay: Relay,
        scheduler: Scheduler,
        doorbell: Doorbell,
        threads: int,
        chores: Sequence[Chore] = (),
    ) -> None:
        """`threads` is how many jobs of each queue run at a time."""
        self._chores = chores
        self._consumers = [QueueConsumer(make_broker(), queue, threads=threads) for queue in sorted(registry.queues)]
        self._registry = registry
        self._runner = runner
        self._relay = relay
        self._scheduler = scheduler
        self._doorbell = doorbell
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        for consumer in self._consumers:
            consumer.start(self._registry, lambda tenant, job: self._run_on(loop, UUID(tenant), UUID(job)))
        services = [
            asyncio.create_task(self._relay.run(self._doorbell), name="relay"),
            asyncio.create_task(self._scheduler.run(), name="scheduler"),
            *([asyncio.create_task(run_chores(self._chores), name="chores")] if self._chores else []),
        ]
        log.info("worker.started", queues=sorted(self._registry.queues))
        told = asyncio.create_task(stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([told, *services], return_when=asyncio.FIRST_COMPLETED)
        finally:
            log.info("worker.stopping")
            for task in (told, *services):
                task.cancel()
            await self._stop()
            await self._doorbell.close()
            log.info("worker.stopped")
        for ended in done - {told}:  # neither ends by itself: a worker without them must not look alive
            ended.result()

    def _run_on(self, loop: asyncio.AbstractEventLoop, organization_id: UUID, job_id: UUID) -> None:
        """Called in a Dramatiq thread: run the job on the event loop and wait for its end. Raises what `run` raises.

        What `asyncio.run_coroutine_threadsafe` does, which makes two futures that keep each other up to date, and was
        a tenth of what a job takes.
        """
        ended: SimpleQueue[BaseException | None] = SimpleQueue()

        def end(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            ended.put(None if task.cancelled() else task.exception())

        def begin() -> None:
            task = loop.create_task(self._runner.run(organization_id, job_id))
            self._running.add(task)
            task.add_done_callback(end)

        loop.call_soon_threadsafe(begin)
        if (error := ended.get()) is not None:
            raise error

    async def _stop(self) -> None:
        """Wait for running jobs, cut off those that outlive the grace period, and don't wait for Redis for ever.

        The threads are daemons: one that still waits for Redis ends with the process.
        """
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()

        def stop_all() -> None:
            stopping = [Thread(target=c.stop, kwargs={"seconds": GRACE_SECONDS}, daemon=True) for c in self._consumers]
            for thread in stopping:
                thread.start()
            for thread in stopping:
                thread.join()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(stopped.set)

        Thread(target=stop_all, daemon=True).start()
        settled = loop.time() + 2 * IDLE_MILLISECONDS / 1000  # by then every thread knows that it is to stop
        until = loop.time() + GRACE_SECONDS
        while not stopped.is_set() and loop.time() < until and (self._running or loop.time() < settled):
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), 0.05)
        for task in list(self._running):
            task.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), FAREWELL_SECONDS)
