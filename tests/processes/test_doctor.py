"""`plugs doctor` says what is wrong, and how to mend it, whatever is wrong; it changes nothing and never hangs."""

import socket
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from msgspec import structs
from sqlalchemy import func, insert, update

from core.cli.doctor import servers
from core.cli.doctor.findings import Finding, Level
from core.cli.doctor.machine import check_disk, check_local_servers, check_secret
from core.cli.doctor.servers import check_clock, check_jobs
from core.ids import new_id
from core.runtime import make_runtime
from core.settings import Settings
from core.tasks.models import OutboxJob
from core.testing.processes import free_port
from core.testing.stage import Addresses
from core.testing.tenants import Tenant
from tests.processes.conftest import black_hole
from tests.processes.test_cli import Shell, bare_shell, shell

__all__ = ["bare_shell", "shell"]

DRAWN_SECRET = "zS8r0pYd3mQvT1uXw5aBc7eFg9hJk2lN"
SOON_SECONDS = 20.0


class Report:
    """What the doctor printed: each line's level, subject and finding, and the advice below it."""

    def __init__(self, answer: subprocess.CompletedProcess[str]) -> None:
        self.code = answer.returncode
        self.text = answer.stdout + answer.stderr
        self.lines = answer.stdout.splitlines()

    def of(self, subject: str) -> list[str]:
        return [line for line in self.lines if line[7:].startswith(subject)]

    def levels(self) -> set[str]:
        return {line.split()[0] for line in self.lines[:-1] if not line.strip().startswith("→")}

    def advice_for(self, words: str) -> str:
        at = next(number for number, line in enumerate(self.lines) if words in line)
        assert self.lines[at + 1].strip().startswith("→"), self.text
        return self.lines[at + 1]


def examined(shell: Shell, **variables: str) -> Report:
    report = Report(shell.plugs("doctor", **variables))
    assert "Traceback" not in report.text
    return report


async def test_all_is_well_where_all_is_well(shell: Shell) -> None:
    shell.settings = structs.replace(shell.settings, port=free_port(), secret_key=DRAWN_SECRET)

    report = examined(shell)

    assert report.code == 0, report.text
    assert report.levels() == {"ok"}, report.text
    for subject in (
        "settings",
        "python",
        "port",
        "postgresql",
        "migrations",
        "redis",
        "clock",
        "secret",
        "jobs",
        "modules",
    ):
        assert report.of(subject), subject


def test_without_urls_it_says_that_it_looked_at_settings_only(bare_shell: Shell) -> None:
    report = examined(bare_shell, PLUGS_PORT=str(free_port()))

    assert report.code == 0, report.text
    assert "only the settings were looked at" in report.of("postgresql")[0]
    assert len(report.of("local")) == 2


def test_every_bad_setting_is_told(bare_shell: Shell) -> None:
    report = examined(bare_shell, PLUGS_PORT="many", PLUGS_PROT="1", PLUGS_SECRET_KEY="short")

    assert report.code == 1
    assert len([line for line in report.of("settings") if line.startswith("wrong")]) == 3


def test_a_taken_port_is_wrong_and_another_is_offered(bare_shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        report = examined(bare_shell, PLUGS_PORT=str(port))

    assert report.code == 1
    assert f"PLUGS_PORT={port + 1}" in report.advice_for(f"{port} on 127.0.0.1 can't be used")


@pytest.mark.parametrize("hole", [True, False], ids=["black hole", "closed port"])
def test_unreachable_servers_are_told_soon(bare_shell: Shell, *, hole: bool) -> None:
    with black_hole() as silent:
        port = silent if hole else 1
        started = time.monotonic()

        report = examined(
            bare_shell,
            DATABASE_URL=f"postgresql://plugs:hidden@127.0.0.1:{port}/plugs",
            REDIS_URL=f"redis://:hidden@127.0.0.1:{port}",
        )

    assert time.monotonic() - started < SOON_SECONDS
    assert report.code == 1
    assert "DATABASE_URL" in report.advice_for(f"127.0.0.1:{port}/plugs can't be reached")
    assert "REDIS_URL" in report.advice_for(f"127.0.0.1:{port} can't be reached")
    assert "hidden" not in report.text


async def test_a_pending_migration_is_named_with_its_command(shell: Shell) -> None:
    assert shell.plugs("migrate", "networking", "--down", "base").returncode == 0

    report = examined(shell)

    assert report.code == 1
    assert "plugs migrate networking" in report.advice_for("networking is at nothing")
    assert any(line.startswith("ok") and "core" in line for line in report.of("migrations"))


async def test_a_login_that_may_not_act_in_a_role_is_told(shell: Shell, addresses: Addresses) -> None:
    login = f"stranger_{shell.settings.redis_namespace[-8:]}"
    administrator = await asyncpg.connect(addresses.postgres)
    await administrator.execute(f"CREATE ROLE {login} LOGIN")
    shell.settings = structs.replace(
        shell.settings, database_url=shell.settings.database_url.replace("://plugs@", f"://{login}@", 1)
    )

    report = examined(shell)

    await administrator.execute(f"DROP ROLE {login}")
    await administrator.close()
    assert report.code == 1
    assert f"GRANT plugs_app TO {login}" in report.advice_for("may not act as plugs_app")


def test_a_module_that_was_set_aside_is_told(bare_shell: Shell) -> None:
    bare_shell.install("explosive", "raise LookupError('the reason')\n")

    report = examined(bare_shell, PLUGS_PORT=str(free_port()))

    assert report.code == 1
    assert "pip uninstall explosive" in report.advice_for("explosive is set aside: LookupError: the reason")


@pytest.mark.parametrize(
    ("secret", "level"), [("a" * 40, Level.WARN), (DRAWN_SECRET, Level.OK), (Settings().secret_key, Level.WARN)]
)
def test_a_secret_that_can_be_guessed_is_told(secret: str, level: Level) -> None:
    settings = Settings(secret_key=secret, database_url="postgresql://plugs@database/plugs")

    assert [finding.level for finding in check_secret(settings)] == [level]


def test_the_default_secret_is_well_where_everything_is_local() -> None:
    assert [finding.level for finding in check_secret(Settings())] == [Level.OK]


def test_disk_and_local_servers_concern_the_local_default_alone(tmp_path: Path) -> None:
    local = Settings(data_dir=tmp_path / "data")
    elsewhere = structs.replace(local, database_url="postgresql://database/plugs", redis_url="redis://redis")

    assert [finding.subject for finding in (*check_disk(local), *check_local_servers(local))] == [
        "disk",
        "local",
        "local",
    ]
    assert [*check_disk(elsewhere), *check_local_servers(elsewhere)] == []


async def test_a_clock_that_is_off_is_told_with_the_one_that_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead:
        @staticmethod
        def time() -> float:
            return time.time() + 60

    monkeypatch.setattr(servers, "time", Ahead)

    [finding] = [finding async for finding in check_clock(settings)]

    assert finding.level is Level.WARN
    assert "this machine is 60 s ahead of PostgreSQL; Redis disagrees with this machine too" in finding.found
    assert "this machine's clock" in finding.mend


async def found_of_jobs(acme: Tenant, settings: Settings, **state: object) -> list[Finding]:
    """What is said while the tenant has one job in this state."""
    job = {"organization_id": acme.organization_id, "id": new_id(), "actor": "gone.actor", "arguments": {}}
    async with acme.database.system() as system:
        # What other tests left undone would be told instead, and is nobody's any more.
        await system.execute(update(OutboxJob).where(OutboxJob.done_at.is_(None)).values(done_at=func.now()))
        await system.execute(insert(OutboxJob).values(**job, **state))
    found = [finding async for finding in check_jobs(make_runtime(settings))]
    async with acme.database.system() as system:
        await system.delete(await system.get_one(OutboxJob, (acme.organization_id, job["id"])))
    return found


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"parked_at": func.now()}, "parked after too many attempts"),
        ({"not_before": func.now() - timedelta(hours=1)}, "was not sent"),
        ({"not_before": func.now() + timedelta(hours=1), "sends": 9}, "not begun"),
    ],
    ids=["parked", "overdue", "unheard"],
)
async def test_jobs_that_nobody_does_are_told(
    acme: Tenant, settings: Settings, state: dict[str, object], words: str
) -> None:
    found = await found_of_jobs(acme, settings, **state)

    assert any(finding.level is Level.WARN and words in finding.found and finding.mend for finding in found), found
