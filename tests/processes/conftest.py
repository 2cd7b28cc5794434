"""Deployments of real processes: on the stage's servers, or on servers of their own where a test kills those."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from msgspec import structs
from sqlalchemy import func, select, text

from core.db.database import Database, open_database
from core.db.migrations import upgrade
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.runtime import make_runtime
from core.settings import Settings
from core.tasks.models import DomainEvent, OutboxJob
from core.testing.processes import Deployment, Member, free_port
from core.testing.stage import Addresses, clone_template, drop_database, throwaway
from core.testing.waiting import until

AS_INSTALLED = Settings()
DISTRIBUTION = Path(__file__).with_name("distribution")
"""Where the module `ledger` is installed, for processes that have it on their path."""


class Site:
    """A deployment with its database in reach, and the servers beneath it where they are its own."""

    def __init__(
        self,
        deployment: Deployment,
        database: Database,
        *,
        postgres: LocalPostgres | None = None,
        redis: LocalRedis | None = None,
    ) -> None:
        self.deployment = deployment
        self.database = database
        self._postgres = postgres
        self._redis = redis
        self._members: list[Member] = []

    @property
    def postgres(self) -> LocalPostgres:
        assert self._postgres is not None, "this deployment stands on the stage"
        return self._postgres

    @property
    def redis(self) -> LocalRedis:
        assert self._redis is not None, "this deployment stands on the stage"
        return self._redis

    async def new_member(self) -> Member:
        member = await self.deployment.make_member(self.database, f"t-{uuid4().hex[:12]}")
        self._members.append(member)
        return member

    async def close(self) -> None:
        for member in self._members:
            await member.client.aclose()

    async def kill_redis(self) -> None:
        """SIGKILL, and with it goes all that Redis knew: no queue and no doorbell survives."""
        pid = self.redis.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not self.redis.running, within=5)
        (self.redis.directory / "appendonly.aof").unlink()

    async def restart_postgres(self, how: signal.Signals, *, away: float = 0.0) -> None:
        """SIGINT is PostgreSQL's fast shutdown, SIGKILL a crash. It is `away` for so many seconds."""
        pid = self.postgres.pid
        assert pid is not None
        os.kill(pid, how)
        await until(lambda: not self.postgres.running, within=10)
        await asyncio.sleep(away)
        await asyncio.to_thread(self.postgres.start)

    async def effects(self, organization_id: UUID) -> list[int]:
        """The numbers that the ledger's jobs entered, in order."""
        async with self.database.system() as system:
            payloads = await system.scalars(
                select(DomainEvent.payload).where(
                    DomainEvent.organization_id == organization_id, DomainEvent.type == "ledger.entered"
                )
            )
            return sorted(payload["number"] for payload in payloads)

    async def unfinished_imports(self, member: Member) -> int:
        """How many of the member's imports are not done."""
        async with self.database.system() as system:
            statement = text(
                "SELECT count(*) FROM networking.contact_imports WHERE organization_id = :id AND state <> 'done'"
            )
            return (await system.scalars(statement, {"id": member.organization_id})).one()

    async def jobs_left(self) -> int:
        async with self.database.system() as system:
            statement = select(func.count()).select_from(OutboxJob).where(OutboxJob.done_at.is_(None))
            return (await system.scalars(statement)).one()

    async def has_running_jobs(self, *, at_least: int = 1) -> bool:
        async with self.database.system() as system:
            statement = select(func.count()).select_from(OutboxJob).where(OutboxJob.lease.is_not(None))
            return (await system.scalars(statement)).one() >= at_least

    async def is_idle(self) -> bool:
        return await self.jobs_left() == 0


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A directory for logs and data that also another user's processes can reach."""
    with tempfile.TemporaryDirectory(prefix="plugs-processes-", dir=throwaway(), ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


type OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@asynccontextmanager
async def site_on(settings: Settings, room: Path, **servers: LocalPostgres | LocalRedis | None) -> AsyncGenerator[Site]:
    directory = Path(tempfile.mkdtemp(prefix="site-", dir=room))
    async with open_database(
        app_url=settings.database_url, system_url=settings.system_url, pool=5, name="plugs:test"
    ) as database:
        with Deployment(settings, directory, python_path=[DISTRIBUTION]) as deployment:
            site = Site(deployment, database, **servers)  # type: ignore[arg-type]
            try:
                yield site
            finally:
                await site.close()


@pytest.fixture
async def open_site(addresses: Addresses, room: Path) -> AsyncGenerator[OpenSite]:
    """Opens a deployment on the stage's servers, in a database of its own. Settings may be changed."""
    databases: list[str] = []

    @asynccontextmanager
    async def open_site(**changes: object) -> AsyncGenerator[Site]:
        database = f"site_{uuid4().hex[:12]}"
        databases.append(database)
        await clone_template(addresses, database)
        settings = addresses.settings(
            database=database,
            namespace=database,
            **{"log_level": "info", "port": free_port(), "redis_seconds": AS_INSTALLED.redis_seconds, **changes},
        )
        async with site_on(settings, room) as site:
            yield site

    yield open_site
    for database in databases:
        await drop_database(addresses, database)


@pytest.fixture(scope="session")
async def migrated(addresses: Addresses) -> Path:
    """A cluster whose database `postgres` is migrated: the first worker that wants it makes it, for all of them."""
    place = Path(addresses.place)
    with (place / "spare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "spare").exists():
            server = LocalPostgres(place / "spare.new", durable=False)
            try:
                settings = addresses.settings(database="postgres", namespace="spare", database_url=server.start())
                await upgrade(settings.owner_url, make_runtime(settings).migration_sets)
            finally:
                server.stop()
            (place / "spare.new").rename(place / "spare")
    return place / "spare" / "cluster"


def copied(cluster: Path, directory: Path) -> Path:
    """`directory`, new, for a server of its own that begins with this cluster."""
    directory.mkdir(parents=True)
    subprocess.run(["cp", "-a", cluster.resolve(), directory / "cluster"], check=True)
    return directory


@pytest.fixture
async def fragile_site(addresses: Addresses, room: Path, migrated: Path) -> AsyncGenerator[Site]:
    """A deployment with PostgreSQL and Redis of its own, for tests that kill them."""
    here = room / f"servers-{uuid4().hex[:8]}"
    postgres, redis = LocalPostgres(copied(migrated, here / "postgres")), LocalRedis(here / "redis")
    try:
        settings = structs.replace(
            addresses.settings(database="postgres", namespace="fragile", log_level="info", port=free_port()),
            redis_seconds=AS_INSTALLED.redis_seconds,
            database_url=postgres.start(),
            redis_url=redis.start(),
        )
        async with site_on(settings, room, postgres=postgres, redis=redis) as site:
            yield site
    finally:
        redis.stop()
        postgres.remove()


@contextmanager
def black_hole() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listening:  # the kernel accepts; nobody reads
        yield listening.getsockname()[1]


async def gather_each[T](work: Callable[[int], Awaitable[T]], numbers: range, *, at_once: int) -> list[T]:
    """`work` on every number, so many at once."""
    slots = asyncio.Semaphore(at_once)

    async def one(number: int) -> T:
        async with slots:
            return await work(number)

    return await asyncio.gather(*(one(number) for number in numbers))
