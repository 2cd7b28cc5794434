"""The command line: help that teaches, commands that do what they say, and faults told in a sentence."""

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from uuid import uuid4

import click
import pytest
from click.testing import CliRunner

from core.cli import main
from core.settings import LOCAL_SECRET, VARIABLES, Environment, Settings
from core.testing.processes import environment_of, run_plugs
from core.testing.stage import Addresses, clone_template, drop_database
from core.testing.tenants import PASSWORD

SECONDS = 30.0
HEAVY = {"litestar", "sqlalchemy", "dramatiq", "alembic", "asyncpg"}
SCRATCH_MODULE = """
from core.sdk import Mapped, Module, TenantModel


class Note(TenantModel, schema="scratch"):
    __tablename__ = "notes"
    text: Mapped[str]


module = Module(name="scratch", title="Scratch")
"""


class Shell:
    """A terminal in a directory of its own, in which The Plugs has these settings."""

    def __init__(self, settings: Settings, here: Path) -> None:
        self.settings = settings
        self.here = here

    def plugs(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = environment_of(self.settings, python_path=[self.here]) | variables
        return run_plugs(*arguments, env=env, cwd=self.here)

    def install(self, name: str, source: str) -> None:
        """Put a distribution with one module into this terminal's path."""
        (self.here / name).mkdir()
        (self.here / name / "__init__.py").write_text(source)
        info = self.here / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[plugs.modules]\n{name} = {name}:module\n")


@pytest.fixture
async def shell(addresses: Addresses, tmp_path: Path) -> AsyncGenerator[Shell]:
    database = f"cli_{uuid4().hex[:12]}"
    await clone_template(addresses, database)
    yield Shell(addresses.settings(database=database, namespace=database), tmp_path)
    await drop_database(addresses, database)


@pytest.fixture
def bare_shell(tmp_path: Path) -> Shell:
    """Without any server."""
    return Shell(Settings(), tmp_path)


def commands(group: click.Group = main, path: Sequence[str] = ()) -> list[list[str]]:
    found: list[list[str]] = []
    for name, command in group.commands.items():
        found.append([*path, name])
        if isinstance(command, click.Group):
            found += commands(command, [*path, name])
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself(command: list[str]) -> None:
    answer = CliRunner().invoke(main, [*command, "--help"])

    assert answer.exit_code == 0
    assert f"Usage: main {' '.join(command)}" in answer.output
    assert len(answer.output.splitlines()) > 4


def test_help_names_every_command() -> None:
    answer = CliRunner().invoke(main, ["--help"])

    assert [name for name in main.commands if f"\n  {name} " not in answer.output] == []


def test_help_loads_no_heavy_library() -> None:
    program = "import core.cli, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert HEAVY & set(loaded.split()) == set()


def test_all_wrong_settings_are_told_at_once(bare_shell: Shell) -> None:
    answer = bare_shell.plugs("modules", PLUGS_PORT="many", PLUGS_WORKER_THREADS="0", PLUGS_PROT="1", DATABASE_URL="my")

    assert answer.returncode == 1
    assert [name for name in ("PLUGS_PORT", "PLUGS_WORKER_THREADS", "PLUGS_PROT", "DATABASE_URL")
            if f"- {name}: " not in answer.stderr] == []  # fmt: skip
    assert "Traceback" not in answer.stderr


def test_production_refuses_the_default_secret(shell: Shell) -> None:
    answer = shell.plugs("serve", **{VARIABLES["environment"]: Environment.PRODUCTION.value})

    assert answer.returncode == 1
    assert "PLUGS_SECRET_KEY: production needs a secret of its own" in answer.stderr
    assert LOCAL_SECRET not in answer.stderr


@pytest.mark.parametrize("command", ["serve", "migrate", "tenants list"])
def test_what_is_not_set_is_named(bare_shell: Shell, command: str) -> None:
    answer = bare_shell.plugs(*command.split())

    assert answer.returncode == 1
    assert "DATABASE_URL" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_server_that_is_away_is_told_in_a_sentence(bare_shell: Shell) -> None:
    answer = bare_shell.plugs("tenants", "list", DATABASE_URL="postgresql://nobody@127.0.0.1:1/plugs")

    assert answer.returncode == 1
    assert "`plugs doctor` looks into it" in answer.stderr
    assert "Traceback" not in answer.stderr


async def test_tenants_are_made_once_and_listed(shell: Shell) -> None:
    words = ["tenants", "create", "acme", "--name", "Acme Corporation", "--owner", "ada@acme.example"]
    password = {"PLUGS_OWNER_PASSWORD": PASSWORD}

    made, again = shell.plugs(*words, **password), shell.plugs(*words, **password)

    assert (made.returncode, again.returncode) == (0, 1)
    assert "taken" in again.stderr
    [line] = shell.plugs("tenants", "list").stdout.splitlines()
    assert line.startswith("acme")
    assert "active" in line
    assert line.endswith("Acme Corporation")


async def test_migrate_goes_down_and_up_again(shell: Shell) -> None:
    down = shell.plugs("migrate", "networking", "--down", "base")
    up = shell.plugs("migrate")
    idle = shell.plugs("migrate")

    assert (down.returncode, up.returncode, idle.returncode) == (0, 0, 0), down.stderr + up.stderr
    assert "networking: nothing →" in up.stdout
    assert idle.stdout == "The database is up to date.\n"


@pytest.mark.parametrize(
    "words", [["migrate", "unheard-of"], ["migrate", "networking", "--to", "9999"], ["migrate", "--to", "0001"]]
)
async def test_a_migration_that_is_not_there_is_told_in_a_sentence(shell: Shell, words: list[str]) -> None:
    answer = shell.plugs(*words)

    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr


async def test_makemigration_writes_what_migrate_then_runs(shell: Shell) -> None:
    shell.install("scratch", SCRATCH_MODULE)

    wrote = shell.plugs("makemigration", "scratch", "notes of people")
    migrated = shell.plugs("migrate", "scratch")
    again = shell.plugs("makemigration", "scratch", "nothing new")

    assert (wrote.returncode, migrated.returncode, again.returncode) == (0, 0, 0), wrote.stderr + migrated.stderr
    [first, second] = sorted((shell.here / "scratch" / "migrations").glob("*.py"))
    assert wrote.stdout.endswith(f"Wrote {first.relative_to(shell.here)}\n")
    assert 'op.guard_tenant_table("scratch.notes")' in first.read_text()
    assert "op." not in second.read_text().partition("def upgrade")[2]


def test_openapi_writes_the_document_to_a_file(bare_shell: Shell) -> None:
    answer = bare_shell.plugs("openapi", "--output", "openapi.json")

    assert answer.returncode == 0, answer.stderr
    document = json.loads((bare_shell.here / "openapi.json").read_text())
    assert document["openapi"].startswith("3.")
    assert "/api/v1/networking/contacts" in document["paths"]


LEAKY = """
from core.sdk import Ctx, Module, get
@get("/shared", operation_id="shared", cache=True)
async def shared(ctx: Ctx) -> None: ...
module = Module(name="leaky", title="Leaky", routes=[shared])
"""


def test_a_module_that_raises_or_exits_or_would_leak_is_set_aside_and_the_others_serve(bare_shell: Shell) -> None:
    bare_shell.install("leaky", LEAKY)
    bare_shell.install("explosive", "raise LookupError('the reason')\n")
    bare_shell.install("quitter", "import sys\nsys.exit(3)\n")
    bare_shell.install("sound", "from core.sdk import Module\nmodule = Module(name='sound', title='Sound')\n")

    answer = bare_shell.plugs("modules")

    assert answer.returncode == 0, answer.stderr
    told = {line.split()[0]: line for line in answer.stdout.splitlines()}
    assert sorted(told) == ["explosive", "leaky", "networking", "quitter", "sound"]
    assert "set aside" in told["explosive"]
    assert "LookupError: the reason" in told["explosive"]
    assert "set aside" in told["leaky"]
    assert "GET /api/v1/leaky/shared sets cache" in told["leaky"]
    assert "set aside" in told["quitter"]
    assert "SystemExit: 3" in told["quitter"]
    assert "set aside" not in told["networking"] + told["sound"]


def test_a_plugin_that_was_uninstalled_breaks_no_command(shell: Shell) -> None:
    shell.install("scratch", SCRATCH_MODULE)
    assert shell.plugs("makemigration", "scratch", "notes").returncode == 0
    assert shell.plugs("migrate").returncode == 0
    shutil.rmtree(shell.here / "scratch")
    shutil.rmtree(shell.here / "scratch-1.0.dist-info")

    refused = {
        " ".join(command): answer.stderr
        for command in (
            ["modules"],
            ["migrate"],
            ["openapi"],
            ["tenants", "list"],
            ["permissions", "matrix"],
            ["keys", "list"],
        )
        if (answer := shell.plugs(*command)).returncode != 0
    }
    dropped = shell.plugs("modules", "uninstall", "scratch", "--yes")

    assert refused == {}
    assert "Dropped the schema scratch with 1 tables." in dropped.stdout
