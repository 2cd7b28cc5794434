"""Reads on a replica: whoever has written finds it there or on the primary, and a replica that goes away is missed by
nobody."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec import Struct, structs
from sqlalchemy import func, select
from structlog.testing import capture_logs

from core.app import Application, create_app
from core.cli.doctor.findings import Level
from core.cli.doctor.servers import check_replica
from core.db import database as lanes
from core.db import replica as following
from core.db.reads import Read
from core.db.replica import BEHIND_AT_MOST, SAMPLE_SECONDS, Replica
from core.db.tenancy import TenantContext
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.runtime import Runtime, make_runtime
from core.settings import Settings
from core.tasks.broker import redis_client
from core.testing.processes import free_port
from core.testing.stage import Addresses
from core.testing.tenants import Tenant, client_of, make_tenant, running
from core.testing.waiting import until
from tests.processes.conftest import black_hole, copied

CONTACTS = "/api/v1/networking/contacts"
WITHIN_SECONDS = 20.0
WHO = Read(select(func.current_setting("cluster_name").label("name")))
WHO_SLEEPS = Read(select(func.current_setting("cluster_name").label("name"), func.pg_sleep(0.5)))
STANDBY = "standby"
SLEEPING = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


class Standby:
    """A streaming replica of a local server, as its operator would make one."""

    def __init__(self, primary: LocalPostgres, directory: Path) -> None:
        self._primary = primary
        self._directory = directory
        self._uid = (primary.directory / "cluster").stat().st_uid
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://plugs@/postgres?host={directory}&port=5432"

    def copy(self) -> None:
        self._run(
            "pg_basebackup", "-d", self._primary.url, "-D", self._directory / "cluster", "-R", "-c", "fast"
        ).wait()

    async def start(self) -> None:
        settings = {"listen_addresses": "", "max_connections": "200", "cluster_name": STANDBY}  # as many as the primary
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._run("postgres", "-D", self._directory / "cluster", "-k", self._directory, *options)

        async def answers() -> bool:
            try:
                return await self.ask("SELECT pg_is_in_recovery()") is True
            except (OSError, asyncpg.PostgresError):
                return False

        await until(answers, within=WITHIN_SECONDS)

    def _run(self, program: str, *arguments: str | Path) -> "subprocess.Popen[bytes]":
        command = [self._primary.programs / program, *arguments]
        return subprocess.Popen(command, cwd="/", user=self._uid, stderr=subprocess.DEVNULL)

    def end(self, how: signal.Signals = signal.SIGQUIT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    async def ask(self, sql: str) -> Any:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()


class Deployment(Struct, frozen=True, kw_only=True):
    standby: Standby
    redis: LocalRedis
    processes: list[Application]

    async def reads_replica(self, tenant: Tenant, process: int) -> bool:
        """Whether a request that only looks would read there, in this process."""
        database = self.processes[process].litestar.state.services.database
        reads = database.reads(TenantContext(organization_id=tenant.organization_id), may_lag=True)
        return (await reads.first(WHO))["name"] == STANDBY

    async def until_read(self, *tenants: Tenant) -> None:
        for tenant in tenants:
            for process in range(len(self.processes)):
                await until(lambda t=tenant, p=process: self.reads_replica(t, p), within=WITHIN_SECONDS)

    def elsewhere(self, tenant: Tenant) -> Any:
        """A client of the same person at the other process."""
        token = tenant.client.headers["authorization"].removeprefix("Bearer ")
        return client_of(self.processes[1], token=token)


async def diagnosis(tenant: Tenant) -> Level:
    """What `plugs doctor` says of the replica."""
    [finding] = [finding async for finding in check_replica(tenant.application.runtime.settings)]
    return finding.level


async def names(client: Any) -> list[str]:
    answer = await client.get(CONTACTS, params={"sort": "first_name"})
    answer.raise_for_status()
    return [contact["first_name"] for contact in answer.json()["items"]]


@asynccontextmanager
async def primary_of(
    addresses: Addresses, cluster: Path, place: Path
) -> AsyncGenerator[tuple[Runtime, LocalPostgres, LocalRedis]]:
    postgres, redis = LocalPostgres(copied(cluster, place / "postgres"), durable=False), LocalRedis(place / "redis")
    try:
        settings = structs.replace(
            addresses.settings(database="postgres", namespace="replicated"),
            database_url=postgres.start(),
            redis_url=redis.start(),
        )
        yield make_runtime(settings), postgres, redis
    finally:
        redis.stop()
        postgres.remove()


@pytest.fixture
def open_place(room: Path) -> Path:
    """With a directory for the standby, in which its own user may write."""
    place = Path(tempfile.mkdtemp(prefix="replica-", dir=room))
    (place / "standby").mkdir()
    place.chmod(0o755)
    (place / "standby").chmod(0o777)
    return place


@pytest.fixture
async def replicated(addresses: Addresses, migrated: Path, open_place: Path) -> AsyncGenerator[Deployment]:
    """Two serving processes on a primary, its replica and a Redis of their own."""
    async with AsyncExitStack() as stack:
        runtime, postgres, redis = await stack.enter_async_context(primary_of(addresses, migrated, open_place))
        standby = Standby(postgres, open_place / "standby")
        standby.copy()
        stack.callback(standby.end)
        await standby.start()
        settings = structs.replace(runtime.settings, database_replica_url=standby.url)
        processes = [
            await stack.enter_async_context(running(create_app(Runtime(settings=settings, plugs=runtime.plugs))))
            for _ in range(2)
        ]
        yield Deployment(standby=standby, redis=redis, processes=processes)


async def test_whoever_writes_finds_it_at_every_process_however_far_the_replica_is_behind(
    replicated: Deployment,
) -> None:
    acme, globex, other = [await make_tenant(replicated.processes[0]) for _ in range(3)]
    file = {"file": ("a.csv", b"first_name\nCleo\nDora\n", "text/csv")}
    (await globex.client.post("/api/v1/networking/imports", files=file)).raise_for_status()
    await replicated.until_read(acme, globex, other)
    await replicated.standby.ask("SELECT pg_wal_replay_pause()")

    for name in ("Ada", "Ben"):
        (await acme.client.post(CONTACTS, json={"first_name": name})).raise_for_status()
    await globex.run_jobs()
    async with replicated.elsewhere(acme) as elsewhere, replicated.elsewhere(globex) as globex_elsewhere:
        by_a_request = await names(elsewhere), await names(acme.client)
        by_a_job = await names(globex_elsewhere)
        of_others = [await replicated.reads_replica(other, process) for process in range(2)]
        async with redis_client(acme.application.runtime.settings.redis_url) as redis:
            await redis.flushall()
        after_redis_forgot = await names(elsewhere), await names(acme.client)
        await asyncio.sleep(2 * SAMPLE_SECONDS)
        and_later = await names(elsewhere), await names(acme.client)
        await replicated.standby.ask("SELECT pg_wal_replay_resume()")
        await replicated.until_read(acme, globex)
        in_the_end = await names(elsewhere)

    assert by_a_request == after_redis_forgot == and_later == (["Ada", "Ben"], ["Ada", "Ben"])
    assert by_a_job == ["Cleo", "Dora"]
    assert of_others == [True, True], "who has written nothing is read on the replica"
    assert in_the_end == ["Ada", "Ben"]


async def test_a_replica_that_ends_or_goes_its_own_way_fails_no_request(replicated: Deployment) -> None:
    acme = await make_tenant(replicated.processes[0])
    (await acme.client.post(CONTACTS, json={"first_name": "Ada"})).raise_for_status()
    await replicated.until_read(acme)
    database = acme.application.litestar.state.services.database
    reads = database.reads(TenantContext(organization_id=acme.organization_id), may_lag=True)

    sleeping = asyncio.create_task(reads.first(WHO_SLEEPS))
    await until(lambda: replicated.standby.ask(SLEEPING), within=WITHIN_SECONDS)  # type: ignore[arg-type, return-value]
    answered_by = (await sleeping)["name"]
    await replicated.until_read(acme)
    diagnosed = [await diagnosis(acme)]
    with capture_logs() as lines:
        replicated.standby.end()
        diagnosed.append(await diagnosis(acme))
        while_it_is_away = await names(acme.client)
        await replicated.standby.start()
        await replicated.until_read(acme)
    told = [line["event"] for line in lines if line["event"].startswith("replica.")]
    await replicated.standby.ask("SELECT pg_promote()")

    async def is_left_alone() -> bool:
        return not await replicated.reads_replica(acme, 0)

    await until(is_left_alone, within=BEHIND_AT_MOST / 2)  # and not since it falls behind
    (await acme.client.post(CONTACTS, json={"first_name": "Ben"})).raise_for_status()
    diagnosed.append(await diagnosis(acme))

    assert diagnosed == [Level.OK, Level.WRONG, Level.WRONG]
    assert answered_by != STANDBY, "it was cut off, and the primary asked instead"
    assert while_it_is_away == ["Ada"]
    assert sorted(told) == ["replica.away"] * 2 + ["replica.there"] * 2, "each process says it once"
    assert await names(acme.client) == ["Ada", "Ben"]


async def test_where_redis_can_not_be_told_an_answer_waits_for_the_replica(replicated: Deployment) -> None:
    acme = await make_tenant(replicated.processes[0])
    await replicated.until_read(acme)
    assert replicated.redis.pid is not None
    os.kill(replicated.redis.pid, signal.SIGKILL)
    await until(lambda: not replicated.redis.running, within=WITHIN_SECONDS)

    (await acme.client.post(CONTACTS, json={"first_name": "Ada"})).raise_for_status()

    there = await replicated.standby.ask("SELECT count(*) FROM networking.contacts")
    assert there == 1
    async with replicated.elsewhere(acme) as elsewhere:
        assert await names(elsewhere) == ["Ada"]
    replicated.redis.start()
    await replicated.until_read(acme)


@pytest.mark.parametrize("accepts", [False, True])
async def test_a_replica_that_was_never_there_is_told_once_and_missed_by_nobody(
    settings: Settings, runtime: Runtime, monkeypatch: pytest.MonkeyPatch, accepts: bool
) -> None:
    """One where nobody listens, and one that accepts and never says a word."""
    failures: list[BaseException] = []
    fail = Replica.fail

    def counted(replica: Replica, error: BaseException) -> None:
        failures.append(error)
        fail(replica, error)

    monkeypatch.setattr(Replica, "fail", counted)
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(lanes, "CONNECT_SECONDS", 0.2)
    with black_hole() as silent, capture_logs() as lines:
        url = f"postgresql://plugs@127.0.0.1:{silent if accepts else free_port()}/postgres"
        lost = structs.replace(settings, database_replica_url=url)
        async with running(create_app(Runtime(settings=lost, plugs=runtime.plugs))) as application:
            acme = await make_tenant(application)
            assert await names(acme.client) == []
            await until(lambda: len(failures) >= 3, within=WITHIN_SECONDS)
            (await acme.client.post(CONTACTS, json={"first_name": "Ada"})).raise_for_status()
            assert await names(acme.client) == ["Ada"]

    assert [line["event"] for line in lines if line["event"].startswith("replica.")] == ["replica.away"]
