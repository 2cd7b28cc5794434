"""`plugs serve` and `plugs worker`."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from socket import socket
from types import FrameType

import uvicorn
import uvloop

from core.app import Application, create_app
from core.cli.answers import WholeAnswers
from core.cli.common import load_runtime, need
from core.observe.logs import flush_logs
from core.runtime import CORE_SWEEPS, Runtime
from core.tasks.broker import OutboxBroker, make_broker, redis_client
from core.tasks.jobs import JobRunner
from core.tasks.relay import Doorbell, Relay
from core.tasks.schedule import Scheduler
from core.tasks.worker import Worker
from core.toggles.states import TOPIC as MODULES

GRACE_SECONDS = 25
DOORBELL_SECONDS = 5.0


class DrainingServer(uvicorn.Server):
    """On SIGTERM, readiness fails first; the port closes after the drain time, and requests in flight finish."""

    def __init__(self, config: uvicorn.Config, application: Application, *, drain_seconds: float) -> None:
        super().__init__(config)
        self._application = application
        self._drain_seconds = drain_seconds

    def run(self, sockets: list[socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            flush_logs()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        health = self._application.litestar.state.get("health")
        first = health is not None and not health.stopping
        if health is not None:
            health.stopping = True
        if first and self._drain_seconds and sig == signal.SIGTERM:
            asyncio.get_running_loop().call_later(self._drain_seconds, super().handle_exit, sig, frame)
        else:
            super().handle_exit(sig, frame)


def make_server(*, host: str | None, port: int | None) -> DrainingServer:
    runtime = load_runtime()
    settings = runtime.settings
    need(settings, "database_url", "redis_url")
    application = create_app(runtime)
    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        host=host or settings.host,
        port=port or settings.port,
        loop="uvloop",
        http=WholeAnswers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who may say where a request comes from is a setting of ours
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return DrainingServer(config, application, drain_seconds=settings.drain_seconds)


def make_worker() -> Callable[[], None]:
    """Returns what runs it."""
    runtime = load_runtime()
    need(runtime.settings, "database_url", "redis_url")

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_work(runtime))
        finally:
            flush_logs()

    return run


async def _work(runtime: Runtime) -> None:
    settings = runtime.settings
    async with AsyncExitStack() as stack:
        at_a_time = settings.worker_threads * len(runtime.registry.queues)
        database = await stack.enter_async_context(runtime.open_database("worker", at_least=at_a_time))
        await stack.enter_async_context(runtime.plugs.lifespan())
        modules = runtime.module_states(database)
        await stack.enter_async_context(runtime.watch("worker", {MODULES: modules.forget}))
        client = redis_client(settings.redis_url, seconds=DOORBELL_SECONDS)
        stack.push_async_callback(client.aclose)

        def broker() -> OutboxBroker:
            return make_broker(settings.redis_url, namespace=settings.redis_namespace)

        worker = Worker(
            make_broker=broker,
            registry=runtime.registry,
            runner=JobRunner(
                database=database,
                registry=runtime.registry,
                cursors=runtime.cursors,
                modules=modules,
                lease_seconds=settings.job_lease,
                providers=runtime.providers,
            ),
            relay=Relay(
                database=database, registry=runtime.registry, broker=broker(), resend_after=settings.resend_after
            ),
            scheduler=Scheduler(database=database, registry=runtime.registry, sweeps=CORE_SWEEPS),
            doorbell=Doorbell(client, namespace=settings.redis_namespace, poll=settings.relay_poll),
            threads=settings.worker_threads,
            chores=runtime.chores(database),
        )
        await worker.run()
