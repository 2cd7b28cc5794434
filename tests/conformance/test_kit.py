"""What the kit tells somebody whose module isn't there, and how it watches and reads a package."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.sdk import Module
from core.testing import conformance
from core.testing.conformance.addressing import Addresses
from core.testing.conformance.candidate import Allowances, Bench
from core.testing.conformance.code import imports_stay_in_bounds
from core.testing.fillings import Id, Loose
from core.testing.import_watch import observed_imports
from core.testing.rows import tenant_tables

type Write = Callable[[str, dict[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a package onto the path of imports."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, files: dict[str, str]) -> Path:
        for file, source in {"__init__.py": "", **files}.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(source)
        return tmp_path / name

    return write


@pytest.mark.parametrize("rule", conformance.RULES, ids=conformance.name_of)
async def test_a_module_that_is_not_installed_fails_every_rule_in_one_sentence(
    rule: Any, conformance_bench: Bench
) -> None:
    with pytest.raises(pytest.fail.Exception, match="no module 'absent' is installed"):
        await conformance.of("absent")(rule, conformance_bench)


DEEDS = {
    "open('written.txt', 'w')": "opened a file to write",
    "import os; os.open('written.txt', os.O_CREAT)": "opened a file to write",
    "import socket; socket.socket()": "opened a socket",
    "import subprocess; subprocess.Popen(['true'])": "started a process",
    "import os; os.system('true')": "started a process",
    "import threading; threading.Thread(target=len, args=('',)).start()": "started a thread",
    "import os; os.mkdir('folder')": "made a folder",
    "import sys; sys.exit(3)": "raised SystemExit",
    "import os; os._exit(0)": "ended the process",
    "def far():\n    open('written.txt', 'a')\nfar()": "opened a file to write",
}


def test_every_deed_of_an_import_is_told(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packages = {f"deed{number}": source for number, source in enumerate(DEEDS)}
    for package, source in packages.items():
        write(package, {"__init__.py": source})

    observed = observed_imports(*packages)

    for package, source in packages.items():
        assert any(DEEDS[source] in deed for deed in observed[package]), source


def test_what_is_only_read_or_a_librarys_own_is_no_deed(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("some_library", {"__init__.py": "import socket; socket.socket().close()"})
    write("quiet", {"__init__.py": "import some_library\nopen(__file__).close()\nprint('not in the answer')"})

    assert observed_imports("quiet") == {"quiet": []}


BOUNDS = {
    "from core.sdk import Ctx": None,
    "import core.sdk": None,
    "from core import sdk": None,
    "from core import db": "core.sdk is all of the core that is public",
    "import core.db.models": "core.sdk is all of the core that is public",
    "from .inside import thing": None,
    "from . import inside": None,
    "def late():\n    from core.db import models": "core.sdk is all of the core that is public",
    "from other.contract import Happened": None,
    "from other import contract": None,
    "from other.models import Row": "only its contract",
    "import other": "only its contract",
    "from third.contract import Happened": "neither under requires nor under optional",
    "from sqlalchemy import select": None,
    "from sqlalchemy.ext.asyncio import create_async_engine": "connections come with ctx",
    "import asyncpg": "connections come with ctx",
    "import redis.asyncio": "no tenant",
    "import dramatiq": "@actor",
    "import httpx": None,
}


@pytest.mark.parametrize(("source", "reason"), BOUNDS.items())
async def test_what_a_module_may_import(write: Write, source: str, reason: str | None) -> None:
    candidate = package_of(write("bounded", {"sub/__init__.py": "", "sub/code.py": source}))

    found = await imports_stay_in_bounds(candidate)

    assert [reason in breach for breach in found] == ([] if reason is None else [True]), found


async def test_a_revision_may_import_what_revisions_need_and_tests_what_they_like(write: Write) -> None:
    revision = "from alembic import op\nfrom core.db.tenancy import APP_ROLE"
    files = {"migrations/0001_first.py": revision, "tests/test_it.py": "from core.testing import conformance"}

    assert await imports_stay_in_bounds(package_of(write("revised", files))) == []
    assert len(await imports_stay_in_bounds(package_of(write("astray", {"code.py": revision})))) == 2


def package_of(directory: Path) -> Any:
    """A candidate, so far as reading its files goes."""
    others = [SimpleNamespace(name=name, package=name) for name in ("other", "third")]
    module = Module(name="bounded", title="Bounded", requires=["other"])
    return SimpleNamespace(
        name="bounded",
        plug=SimpleNamespace(package=directory.name, directory=directory, module=module),
        files=[SimpleNamespace(__path__=[str(directory)])],
        runtime=SimpleNamespace(plugs=others),
    )


@pytest.mark.parametrize(
    ("field", "leads"),
    [
        ("contact_id", Id("networking.contacts")),
        ("import_id", Id("networking.contact_imports")),
        ("interaction_id", Id("networking.contact_interactions")),
        ("updated_by", Loose("networking.contacts", "updated_by")),
        ("organization_id", None),
        ("metadata", None),
        ("event_id", None),
    ],
)
def test_an_id_leads_to_the_row_that_its_name_says(field: str, leads: Any) -> None:
    networking = [table for table in tenant_tables() if table.schema == "networking"]

    assert Addresses(networking).lead(field) == leads


async def test_a_module_that_was_set_aside_is_told_of_with_its_reason(conformance_bench: Bench) -> None:
    plugs = SimpleNamespace(quarantined={"broken": SimpleNamespace(reason="ValueError: no")}, plugs={})
    bench = Bench(
        application=SimpleNamespace(runtime=SimpleNamespace(plugs=plugs)),  # type: ignore[arg-type]
        scratch=conformance_bench.scratch,
    )

    with pytest.raises(LookupError, match="broken was set aside: ValueError: no"):
        bench.candidate("broken", Allowances())
