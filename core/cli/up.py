"""`plugs up`: everything in one supervised process tree."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import asyncpg
import click

from core.cli.common import CommandFailed
from core.db.migrations import upgrade
from core.demo import ORGANIZATIONS, make_demo, owner_of
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.local.supervisor import Service, Supervisor
from core.observe.logs import configure_logs
from core.runtime import Runtime, make_runtime
from core.settings import VARIABLES, Environment, Settings, load_settings

DATABASE = "plugs"
PROBE_SECONDS = 0.5
SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def run_everything() -> int:
    """Returns the exit code, once everything has stopped."""
    try:
        return _start_and_keep(load_settings())
    except Exception:
        if _told_to_leave.is_set():
            return 0  # what the signal interrupted has said so in a way of its own
        raise


def _start_and_keep(settings: Settings) -> int:
    if settings.environment is Environment.PRODUCTION:
        raise CommandFailed("`plugs up` is for one machine; in production run `plugs serve` and `plugs worker`")
    configure_logs(style=settings.log_format, level="warning")
    _refuse_taken_port(settings)
    _end_in_order_on_signals()
    click.echo("The Plugs: starting …")
    with ExitStack() as stack:
        servers: list[LocalPostgres | LocalRedis] = []
        own_database = not settings.database_url
        changes: dict[str, str] = {}
        if own_database:
            postgres = LocalPostgres(settings.data_dir / "postgres")
            stack.callback(postgres.stop)
            changes["database_url"] = _run(_ensure_database(postgres.start()))
            servers.append(postgres)
        if not settings.redis_url:
            redis = LocalRedis(settings.data_dir / "redis")
            stack.callback(redis.stop)
            changes["redis_url"] = redis.start()
            servers.append(redis)
        environment = _environment_of(changes)
        runtime = make_runtime(load_settings({**os.environ, **environment}))
        _run(_prepare(runtime, demo=own_database))
        plugs = Path(sys.executable).with_name("plugs")
        return Supervisor(click.echo).run(
            [
                Service("api", [str(plugs), "serve"], env=environment, ready=lambda: _is_ready(settings)),
                Service("worker", [str(plugs), "worker"], env=environment),
            ],
            servers=servers,
            on_ready=lambda: click.echo(_welcome(settings, demo=own_database)),
        )


def _environment_of(changes: Mapping[str, str]) -> dict[str, str]:
    """What the local servers' addresses are, as variables for our children."""
    return {VARIABLES[field]: value for field, value in changes.items()}


def _refuse_taken_port(settings: Settings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CommandFailed(
                f"Port {settings.port} on {settings.host} can't be used: {error.strerror}. "
                f"Choose another: PLUGS_PORT={settings.port + 1} make run"
            ) from error


def _end_in_order_on_signals() -> None:
    """Until the supervisor takes over, a signal unwinds the stack, so that servers already started are stopped."""
    for number in SIGNALS:
        signal.signal(number, _leave)


def _run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run it on a loop, where a signal cancels what is awaited: to raise from within a driver's own code, wherever that
    is at the moment, can end the interpreter itself."""

    async def run() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def leave() -> None:
            _told_to_leave.set()
            if task is not None:
                task.cancel()

        for number in SIGNALS:
            loop.add_signal_handler(number, leave)
        return await work

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        sys.exit(0)
    finally:
        _end_in_order_on_signals()


_told_to_leave = Event()


def _leave(_number: int, _frame: FrameType | None) -> None:
    _told_to_leave.set()
    sys.exit(0)


def in_our_database(url: str) -> str:
    """The local server's URL with our database in place of the one that each cluster has."""
    return url.replace("/postgres?", f"/{DATABASE}?", 1)


async def _ensure_database(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    return in_our_database(url)


async def _prepare(runtime: Runtime, *, demo: bool) -> None:
    await upgrade(runtime.settings.owner_url, runtime.migration_sets, say=lambda line: click.echo(f"  migrated {line}"))
    if not demo:
        return
    async with runtime.open_database("seed") as database:
        for slug in await make_demo(runtime, database):
            click.echo(f"  made demo organization {slug}")


def _is_ready(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104
    try:
        with urlopen(f"http://{host}:{settings.port}/health/ready", timeout=PROBE_SECONDS) as answer:
            return answer.status == 200
    except (URLError, OSError):
        return False


def _welcome(settings: Settings, *, demo: bool) -> str:
    base = f"http://{settings.host}:{settings.port}"
    lines = [
        "",
        f"The Plugs is ready at {base}",
        f"  documentation   {base}/docs  and  {base}/redoc",
        f"  health          {base}/health",
    ]
    if demo:
        owners = " or ".join(owner_of(slug) for slug in ORGANIZATIONS)
        lines += [
            f"  sign in as      {owners}",
            f"  password        {settings.demo_password}",
            f"  first request   curl -s {base}/api/v1/auth/login -H 'content-type: application/json' \\",
            f'                    -d \'{{"email": "{owner_of("acme")}", "password": "{settings.demo_password}"}}\'',
        ]
    lines += ["Ctrl-C stops everything.", ""]
    return "\n".join(lines)
