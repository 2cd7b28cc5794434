"""Real processes for tests of faults: `plugs serve` and `plugs worker` as an operator runs them."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self
from uuid import UUID

import httpx
from msgspec import Struct

from core.db.database import Database
from core.identity.directory import create_organization
from core.settings import VARIABLES, Settings
from core.testing.forking import Forked
from core.testing.tenants import PASSWORD, password_hash
from core.testing.waiting import until

PLUGS = Path(sys.executable).with_name("plugs")
START_SECONDS = 30.0
END_SECONDS = 35.0
REQUEST_SECONDS = 10.0
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of `http://` alone: they would all read the certificates of all authorities, which takes 20 ms each."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment_of(settings: Settings, *, python_path: Sequence[Path] = ()) -> dict[str, str]:
    """The environment in which a process reads these settings, and none of the test run's own."""
    defaults = Settings()
    kept = {n: v for n, v in os.environ.items() if n not in VARIABLES.values() and not n.startswith("PLUGS_")}
    ours = {
        variable: str(getattr(settings, field))
        for field, variable in VARIABLES.items()
        if getattr(settings, field) != getattr(defaults, field)
    }
    paths = [*map(str, python_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | ours | {"PYTHONPATH": os.pathsep.join(paths)}


def run(
    *command: str, env: Mapping[str, str], cwd: Path, seconds: float = END_SECONDS
) -> subprocess.CompletedProcess[str]:
    """A command (see `Forked`), run to its end. Raises `TimeoutError` for one that goes on for longer."""
    with tempfile.TemporaryDirectory(prefix="plugs-run-") as folder:
        output, errors = Path(folder, "stdout"), Path(folder, "stderr")
        process = Forked(*command, env=env, cwd=cwd, output=output, errors=errors)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        said = output.read_text(), errors.read_text()
    if code is None:
        raise TimeoutError(f"{' '.join(command)} went on for {seconds} seconds:\n{said[0]}{said[1]}")
    return subprocess.CompletedProcess(command, code, *said)


def run_plugs(
    *arguments: str, env: Mapping[str, str], cwd: Path, seconds: float = END_SECONDS
) -> subprocess.CompletedProcess[str]:
    """A command of `plugs`, as `run` runs any."""
    return run("plugs", *arguments, env=env, cwd=cwd, seconds=seconds)


class PlugsProcess:
    """One process of `plugs`. It ends with the test run, whatever happens to that."""

    def __init__(self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        self._command = " ".join(arguments)
        self._process = Forked("plugs", *arguments, env=env, cwd=cwd, output=log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, to it and to all that it started."""
        self._process.kill()

    def read_log(self) -> str:
        return self.log.read_text(errors="replace")

    async def ended(self, *, within: float = END_SECONDS) -> int:
        """Its exit code, once it has ended by itself."""
        await until(lambda: not self.running, within=within)
        code = self.returncode
        assert code is not None
        return code

    async def says(self, words: str, *, within: float = START_SECONDS) -> None:
        """Wait for words in its log. Raises `RuntimeError` where it ends without them."""

        def said() -> bool:
            alive = self.running
            if words in self.read_log():
                return True
            if not alive:
                raise RuntimeError(f"plugs {self._command} ended with {self.returncode}:\n{self.read_log()[-4000:]}")
            return False

        await until(said, within=within)


class Member(Struct, frozen=True, kw_only=True):
    """The owner of an organization, signed in over real HTTP."""

    organization_id: UUID
    slug: str
    email: str
    client: httpx.AsyncClient


class Deployment:
    """API and workers on one set of settings. Use it as a context manager; leaving it ends what still runs."""

    def __init__(self, settings: Settings, directory: Path, *, python_path: Sequence[Path] = ()) -> None:
        """`directory` is where the processes stand, so a `.env` elsewhere is not theirs; their logs go there."""
        self.settings = settings
        self._directory = directory
        self._python_path = python_path
        self._processes: list[PlugsProcess] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.settings.port}"

    def add_to_path(self, folder: Path) -> None:
        """Let the processes that start from now on find what is installed in this folder."""
        self._python_path = [*self._python_path, folder]

    def start(self, *arguments: str) -> PlugsProcess:
        """Any command of `plugs`."""
        process = PlugsProcess(
            arguments,
            env=environment_of(self.settings, python_path=self._python_path),
            cwd=self._directory,
            log=self._directory / f"{arguments[0]}-{len(self._processes)}.log",
        )
        self._processes.append(process)
        return process

    async def start_api(self) -> PlugsProcess:
        """Returns once it is ready for requests."""
        process = self.start("serve")
        await process.says("Uvicorn running")
        await until(self.is_ready, within=START_SECONDS)
        return process

    async def start_worker(self) -> PlugsProcess:
        """Returns once it relays."""
        process = self.start("worker")
        await process.says("worker.started")
        return process

    async def start_both(self) -> tuple[PlugsProcess, PlugsProcess]:
        """API and worker, side by side."""
        api, worker = await asyncio.gather(self.start_api(), self.start_worker())
        return api, worker

    async def is_ready(self) -> bool:
        async with self.client() as client:
            try:
                return (await client.get("/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        return httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=REQUEST_SECONDS,
            limits=limits,
            verify=NO_AUTHORITIES,
            trust_env=False,
        )

    async def make_member(self, database: Database, slug: str) -> Member:
        """A new organization's owner. The caller closes the client."""
        email = f"owner@{slug}.example"
        made = await create_organization(
            database,
            name=slug.title(),
            slug=slug,
            owner_email=email,
            owner_names=("Olu", "Owner"),
            password_hash=password_hash(),
        )
        if made is None:
            raise LookupError(f"{slug!r} is taken")
        async with self.client() as client:
            answer = await client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
            answer.raise_for_status()
        return Member(
            organization_id=made.organization_id,
            slug=slug,
            email=email,
            client=self.client(answer.json()["access_token"]),
        )
