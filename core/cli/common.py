"""What several commands share."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from core.db.database import Database
from core.observe.logs import configure_logs
from core.runtime import Runtime, make_runtime
from core.settings import VARIABLES, Settings, load_settings

_SET_BY = {"owner_url": "database_url", "system_url": "database_url"}
"""What to set where a derived setting is empty."""


class CommandFailed(Exception):
    """Told to the person as it is."""


def load_runtime(*, quiet: bool = False) -> Runtime:
    settings = load_settings()
    configure_logs(style=settings.log_format, level="error" if quiet else settings.log_level)
    return make_runtime(settings)


def need(settings: Settings, *fields: str) -> None:
    """Raises `CommandFailed` that names what is not set."""
    if missing := [VARIABLES[_SET_BY.get(field, field)] for field in fields if not getattr(settings, field)]:
        raise CommandFailed(
            f"{' and '.join(missing)} must be set. `plugs up` starts local servers by itself and needs neither."
        )


def with_database[T](work: Callable[[Runtime, Database], Awaitable[T]]) -> T:
    """Do a command's work with the pools open."""
    runtime = load_runtime(quiet=True)
    need(runtime.settings, "database_url")

    async def run() -> T:
        async with runtime.open_database("cli") as database:
            return await work(runtime, database)

    return asyncio.run(run())


def relative(path: Path) -> Path:
    """As seen from where the person stands, where it is below that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
