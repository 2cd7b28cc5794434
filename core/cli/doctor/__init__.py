"""`plugs doctor`: looks at everything that The Plugs stands on and changes nothing.

Each line says what was found and, where it isn't well, how to mend it. Whatever is asked has a time-out.
"""

import asyncio
from collections.abc import AsyncIterator

import click
from msgspec import structs

from core.cli.doctor.findings import Finding, Level, ok, wrong
from core.cli.doctor.machine import (
    check_disk,
    check_local_servers,
    check_modules,
    check_port,
    check_python,
    check_secret,
)
from core.cli.doctor.servers import (
    check_clock,
    check_jobs,
    check_migrations,
    check_postgres,
    check_redis,
    check_replica,
)
from core.cli.up import in_our_database
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.observe.logs import configure_logs
from core.runtime import make_runtime
from core.settings import Settings, SettingsError, load_settings

__all__ = ["examine"]


def examine() -> int:
    """Tell what was found, line by line. Returns the exit code: 1 where something is wrong."""
    configure_logs(level="critical")
    return asyncio.run(_examine())


async def _examine() -> int:
    levels: list[Level] = []
    async for finding in _findings():
        levels.append(finding.level)
        click.echo(f"{finding.level:<6} {finding.subject:<12} {finding.found}")
        if finding.mend:
            click.echo(f"{'':<19} → {finding.mend}")
    bad, doubtful = levels.count(Level.WRONG), levels.count(Level.WARN)
    click.echo(f"{bad} wrong, {doubtful} to look at." if bad or doubtful else "All is well.")
    return 1 if bad else 0


async def _findings() -> AsyncIterator[Finding]:
    try:
        settings = load_settings()
    except SettingsError as error:
        for problem in error.problems:
            yield wrong("settings", problem, "correct it in the environment or in .env; .env.example explains each")
        yield check_python()
        return
    yield ok("settings", "all can be used")
    yield check_python()
    yield check_port(settings)
    reached = _with_local_servers(settings)
    async for finding in check_postgres(reached):
        yield finding
        if finding.level is Level.WRONG:  # then nothing more is asked of it
            reached = structs.replace(reached, database_url="")
    runtime = make_runtime(reached)
    for check in (check_replica(reached), check_migrations(runtime), check_redis(reached), check_clock(reached)):
        async for finding in check:
            yield finding
    for finding in (*check_secret(settings), *check_disk(settings), *check_local_servers(settings)):
        yield finding
    async for finding in check_jobs(runtime):
        yield finding
    for finding in check_modules(runtime):
        yield finding


def _with_local_servers(settings: Settings) -> Settings:
    """Where no URL is set, the servers that a running `plugs up` keeps, if there is one."""
    found: dict[str, str] = {}
    if not settings.database_url and (url := LocalPostgres(settings.data_dir / "postgres").find_running()):
        found["database_url"] = in_our_database(url)
    if not settings.redis_url and (url := LocalRedis(settings.data_dir / "redis").find_running()):
        found["redis_url"] = url
    return structs.replace(settings, **found)
