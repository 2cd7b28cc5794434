"""`plugs up`: everything in one process tree, and nothing of it left when it ends."""

import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.settings import DEMO_PASSWORD, Settings
from core.testing.processes import NO_AUTHORITIES, PlugsProcess, environment_of, free_port
from core.testing.stage import Addresses, clone_template, drop_database
from core.testing.waiting import until

figures = logging.getLogger("figures")

READY_SECONDS = 60.0
SECOND_START_SECONDS = 8.0
BUSY = 2
"""How much slower a start may be beside the other tests of a run."""
ALL_GONE_SECONDS = 30.0
RESTARTED_SECONDS = 10.0
SIGNED_IN_AS = ("acme", "globex")
CONTACTS = 250


class Up:
    """`plugs up` on a data directory and a port of its own, started as often as a test likes."""

    def __init__(self, here: Path) -> None:
        self._here = here
        self.settings = Settings(data_dir=here / "data", port=free_port())
        self._runs: list[PlugsProcess] = []
        self.tree: set[psutil.Process] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def start(self) -> PlugsProcess:
        log = self._here / f"up-{len(self._runs)}.log"
        process = PlugsProcess(["up"], env=environment_of(self.settings), cwd=self._here, log=log)
        self._runs.append(process)
        return process

    async def start_ready(self) -> PlugsProcess:
        """With every process of its tree noted in `tree`."""
        process = self.start()
        await process.says("is ready at", within=READY_SECONDS)
        async with httpx.AsyncClient(base_url=self.url, verify=NO_AUTHORITIES, trust_env=False) as client:
            assert (await client.get("/health/ready")).status_code == 200
        self.tree = {psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)}
        return process

    def left(self) -> list[psutil.Process]:
        """What is alive of the tree, or names its directory in its command."""
        mine = str(self.settings.data_dir)
        named = [p for p in psutil.process_iter(["cmdline"]) if mine in " ".join(p.info["cmdline"] or [])]
        return [*named, *filter(is_alive, self.tree)]

    def clean(self) -> None:
        for process in self._runs:
            process.kill()
        for process in self.left():
            process.kill()
        LocalPostgres(self.settings.data_dir / "postgres").remove()


@pytest.fixture
def up(room: Path, request: pytest.FixtureRequest) -> Iterator[Up]:
    here = room / request.node.name.replace("[", "-").replace("]", "")
    here.mkdir()
    up = Up(here)
    yield up
    up.clean()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended a moment ago
        return False


def is_worker(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[-1:] == ["worker"]
    except psutil.NoSuchProcess:  # it ended a moment ago
        return False


def contacts_of(up: Up, slug: str) -> int:
    """How many contacts the demo's owner sees."""
    credentials = {"email": f"owner@{slug}.example", "password": DEMO_PASSWORD}
    with httpx.Client(base_url=up.url, verify=NO_AUTHORITIES, trust_env=False) as client:
        token = client.post("/api/v1/auth/login", json=credentials).raise_for_status().json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        return len(client.get("/api/v1/networking/contacts/export.csv").raise_for_status().text.splitlines()) - 1


async def test_it_serves_a_demo_and_a_second_start_is_quick_and_adds_nothing(up: Up) -> None:
    first = await up.start_ready()
    said = first.read_log()
    assert [
        words
        for words in (up.url, "owner@acme.example", "owner@globex.example", DEMO_PASSWORD, "/docs")
        if words not in said
    ] == []
    assert [contacts_of(up, slug) for slug in SIGNED_IN_AS] == [CONTACTS, CONTACTS]

    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    await until(lambda: up.left() == [], within=1)
    began = time.monotonic()
    second = await up.start_ready()

    seconds = time.monotonic() - began
    figures.info(f"second start {seconds:.1f} s")
    assert seconds < SECOND_START_SECONDS * BUSY
    assert [contacts_of(up, slug) for slug in SIGNED_IN_AS] == [CONTACTS, CONTACTS]
    second.send(signal.SIGINT)
    assert await second.ended() == 0
    await until(lambda: up.left() == [], within=1)


async def test_what_dies_is_started_again_and_a_killed_supervisor_leaves_nothing_behind(up: Up) -> None:
    supervisor = await up.start_ready()
    worker = next(p for p in up.tree if is_worker(p))

    worker.kill()

    def has_new_worker() -> bool:
        return any(is_worker(p) and p.pid != worker.pid for p in psutil.Process(supervisor.pid).children())

    await until(has_new_worker, within=RESTARTED_SECONDS)
    up.tree |= set(psutil.Process(supervisor.pid).children(recursive=True))

    os.kill(supervisor.pid, signal.SIGKILL)

    assert await until(lambda: up.left() == [], within=ALL_GONE_SECONDS, every=0.1) < ALL_GONE_SECONDS


async def test_a_signal_while_it_starts_leaves_nothing_behind(up: Up) -> None:
    process = up.start()
    await process.says("migrated core", within=READY_SECONDS)
    up.tree = {psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)}

    process.send(signal.SIGTERM)

    assert await process.ended() == 0
    await until(lambda: up.left() == [], within=ALL_GONE_SECONDS, every=0.1)


async def test_a_port_that_is_taken_is_told_before_anything_starts(up: Up) -> None:
    with socket.create_server(("127.0.0.1", up.settings.port)):
        process = up.start()

        assert await process.ended() == 1

    assert f"Port {up.settings.port} on 127.0.0.1 can't be used" in process.read_log()
    assert f"PLUGS_PORT={up.settings.port + 1}" in process.read_log()
    assert not up.settings.data_dir.exists()


async def test_with_both_urls_set_it_uses_those_servers_and_makes_no_demo(up: Up, addresses: Addresses) -> None:
    database = f"up_{up.settings.port}"
    await clone_template(addresses, database)
    up.settings = addresses.settings(
        database=database, namespace=database, port=up.settings.port, data_dir=up.settings.data_dir
    )

    process = await up.start_ready()

    assert "owner@acme.example" not in process.read_log()
    login = {"email": "owner@acme.example", "password": DEMO_PASSWORD}
    async with httpx.AsyncClient(base_url=up.url, verify=NO_AUTHORITIES, trust_env=False) as client:
        assert (await client.post("/api/v1/auth/login", json=login)).status_code == 401
    assert not up.settings.data_dir.exists()
    process.send(signal.SIGTERM)
    assert await process.ended() == 0
    await drop_database(addresses, database)


def test_redis_is_known_to_a_process_that_did_not_start_it(room: Path) -> None:
    ours = LocalRedis(room / "found")
    assert LocalRedis(room / "found").find_running() is None

    url = ours.start()

    assert LocalRedis(room / "found").find_running() == url
    ours.stop()
    assert LocalRedis(room / "found").find_running() is None
