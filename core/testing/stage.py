"""The stage that tests play on: one PostgreSQL and one Redis a test run, one migrated template, a clone a worker.

A run that a test starts may play on the stage that is there: `Addresses.lend` says how.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, Self
from uuid import uuid4

import asyncpg
import msgspec
from msgspec import Struct, structs

from core.db.migrations import upgrade
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.plugs.discovery import Plugs, discover
from core.runtime import Runtime, make_runtime
from core.settings import Settings

MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of a name that nobody can guess is made in it
"""Linux's file system in memory."""
ROOM = 2 << 30
"""Bytes that must be free in it; a run of this project's own tests has used 0.6 GB at most."""
LENT = "PYTEST_PLUGS_STAGE"
"""The environment variable in which a run that was started by a test finds the stage that it plays on."""
FAST = {"job_lease": 2.0, "relay_poll": 0.1, "resend_after": 1.0}
"""Short patience, so that tests of faults are over soon."""
PATIENT = {"redis_seconds": 5.0}
"""Long patience, so that no test goes on without Redis because the machine is busy."""
ANY_RATE = "subject=1000000/1 organization=1000000/1 address=1000000/1"
UNHURRIED = {"rate_read": ANY_RATE, "rate_write": ANY_RATE, "rate_expensive": ANY_RATE, "rate_sign_in": ANY_RATE}
"""Rates that no test reaches but those that are about them; the counting is done all the same."""


class Addresses(Struct, frozen=True, kw_only=True):
    """Where the stage's servers are; handed from the controller to the workers of a parallel run."""

    postgres: str
    redis: str
    template: str
    """The migrated database that this run clones. Its name is the run's own, and begins those of the clones."""
    place: str
    """A directory for files that all workers share; it goes with the servers."""

    def settings(self, *, database: str, namespace: str, **changes: object) -> Settings:
        return structs.replace(
            Settings(
                database_url=self.postgres.replace("/postgres?", f"/{database}?", 1),
                redis_url=self.redis,
                redis_namespace=namespace,
                log_level="error",
                **FAST,  # type: ignore[arg-type]
                **PATIENT,  # type: ignore[arg-type]
                **UNHURRIED,  # type: ignore[arg-type]
            ),
            **changes,
        )

    def lend(self) -> dict[str, str]:
        """The environment for a test run that is to play here, rather than on a stage of its own."""
        return {LENT: self.as_text()}

    def as_text(self) -> str:
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_text(cls, found: str) -> Self:
        return msgspec.json.decode(found, type=cls)


class Stage(Protocol):
    """Made once, in the main thread of the process that outlives all."""

    def start(self) -> Addresses:
        """Make the template."""
        ...

    def stop(self) -> None: ...


def set_stage() -> Stage:
    """The stage that was lent to this run, or one with servers of its own."""
    lent = os.environ.get(LENT)
    return OwnStage() if lent is None else LentStage(Addresses.from_text(lent))


def throwaway() -> Path | None:
    """Where files of a run go that nobody needs after it: memory, where there is room, as a database is cloned there in
    half the time. None means the usual place of temporary files."""
    try:
        roomy = shutil.disk_usage(MEMORY).free >= ROOM
    except OSError:  # no such place on this system
        return None
    return MEMORY if roomy and os.access(MEMORY, os.W_OK) else None


class OwnStage:
    """A PostgreSQL and a Redis that are started for the run."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(
            prefix="plugs-tests-", dir=throwaway(), ignore_cleanup_errors=True
        )
        here = Path(self._directory.name)
        here.chmod(0o755)  # under root, PostgreSQL runs as another user and must get through
        self._postgres = LocalPostgres(here / "postgres", durable=False)
        self._redis = LocalRedis(here / "redis")

    def start(self) -> Addresses:
        addresses = Addresses(
            postgres=self._postgres.start(),
            redis=self._redis.start(),
            template="plugs",
            place=self._directory.name,
        )
        asyncio.run(self._make_template(addresses))
        return addresses

    async def _make_template(self, addresses: Addresses) -> None:
        await _on_server(addresses, f"CREATE DATABASE {addresses.template}")
        await _migrate(addresses)

    def stop(self) -> None:
        self._redis.stop()
        self._postgres.remove()
        self._directory.cleanup()


class LentStage:
    """The servers of the run that started this one. Its template is theirs, and what modules of our own add to it."""

    def __init__(self, lent: Addresses) -> None:
        self._lent = lent
        self._own = structs.replace(lent, template=f"plugs_{uuid4().hex[:12]}")

    def start(self) -> Addresses:
        asyncio.run(self._make_template())
        return self._own

    async def _make_template(self) -> None:
        await clone_template(self._lent, self._own.template)
        await _migrate(self._own)

    def stop(self) -> None:
        asyncio.run(drop_database(self._lent, self._own.template))


async def _migrate(addresses: Addresses) -> None:
    runtime = make_runtime(addresses.settings(database=addresses.template, namespace="template"))
    await upgrade(runtime.settings.owner_url, runtime.migration_sets)


async def clone_template(addresses: Addresses, database: str, *, template: str | None = None) -> None:
    source = template or addresses.template
    await _on_server(addresses, f"CREATE DATABASE {database} TEMPLATE {source} STRATEGY FILE_COPY")


async def drop_database(addresses: Addresses, database: str) -> None:
    await _on_server(addresses, f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


async def _on_server(addresses: Addresses, statement: str) -> None:
    connection = await asyncpg.connect(addresses.postgres)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def cloned(
    addresses: Addresses, database: str, *, namespace: str = "", template: str | None = None
) -> AsyncGenerator[Settings]:
    """Settings on a migrated database of this name, which goes when the block is left."""
    await clone_template(addresses, database, template=template)
    try:
        yield addresses.settings(database=database, namespace=namespace or database)
    finally:
        await drop_database(addresses, database)


def runtime_on(settings: Settings, plugs: Plugs | None = None) -> Runtime:
    return make_runtime(settings, plugs or discover())
