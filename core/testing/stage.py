"""The stage that tests play on: one PostgreSQL and one Redis a test run, one migrated template, a clone a worker."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import asyncpg
from msgspec import Struct, structs

from core.db.migrations import upgrade
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.plugs.discovery import Plugs, discover
from core.runtime import Runtime, make_runtime
from core.settings import Settings

TEMPLATE = "plugs_template"
FAST = {"job_lease": 2.0, "relay_poll": 0.1, "resend_after": 1.0}
"""Short patience, so that tests of faults are over soon."""
ANY_RATE = "subject=1000000/1 organization=1000000/1 address=1000000/1"
UNHURRIED = {"rate_read": ANY_RATE, "rate_write": ANY_RATE, "rate_expensive": ANY_RATE, "rate_sign_in": ANY_RATE}
"""Rates that no test reaches but those that are about them; the counting is done all the same."""


class Addresses(Struct, frozen=True, kw_only=True):
    """Where the stage's servers are; handed from the controller to the workers of a parallel run."""

    postgres: str
    redis: str

    def settings(self, *, database: str, namespace: str, **changes: object) -> Settings:
        return structs.replace(
            Settings(
                database_url=self.postgres.replace("/postgres?", f"/{database}?", 1),
                redis_url=self.redis,
                redis_namespace=namespace,
                log_level="error",
                **FAST,  # type: ignore[arg-type]
                **UNHURRIED,  # type: ignore[arg-type]
            ),
            **changes,
        )

    def as_mapping(self) -> dict[str, str]:
        return {"postgres": self.postgres, "redis": self.redis}

    @classmethod
    def from_mapping(cls, found: Mapping[str, str]) -> Self:
        return cls(postgres=found["postgres"], redis=found["redis"])


class Stage:
    """Starts the servers and migrates the template. Made once, in the main thread of the process that outlives all."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="plugs-tests-", ignore_cleanup_errors=True)
        here = Path(self._directory.name)
        here.chmod(0o755)  # under root, PostgreSQL runs as another user and must get through
        self._postgres = LocalPostgres(here / "postgres", durable=False)
        self._redis = LocalRedis(here / "redis")

    def start(self) -> Addresses:
        addresses = Addresses(postgres=self._postgres.start(), redis=self._redis.start())
        asyncio.run(_make_template(addresses))
        return addresses

    def stop(self) -> None:
        self._redis.stop()
        self._postgres.remove()
        self._directory.cleanup()


async def _make_template(addresses: Addresses) -> None:
    await _on_server(addresses, f"CREATE DATABASE {TEMPLATE}")
    runtime = make_runtime(addresses.settings(database=TEMPLATE, namespace="template"))
    await upgrade(runtime.settings.owner_url, runtime.migration_sets)


async def clone_template(addresses: Addresses, database: str, *, template: str = TEMPLATE) -> None:
    await _on_server(addresses, f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY FILE_COPY")


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
    addresses: Addresses, database: str, *, namespace: str = "", template: str = TEMPLATE
) -> AsyncGenerator[Settings]:
    """Settings on a migrated database of this name, which goes when the block is left."""
    await clone_template(addresses, database, template=template)
    try:
        yield addresses.settings(database=database, namespace=namespace or database)
    finally:
        await drop_database(addresses, database)


def runtime_on(settings: Settings, plugs: Plugs | None = None) -> Runtime:
    return make_runtime(settings, plugs or discover())
