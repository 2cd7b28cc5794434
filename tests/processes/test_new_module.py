"""`plugs new-module`: from an empty folder to a module that serves, with nothing done by hand."""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

import core.cli.new_module as generator
from core.cli.common import CommandFailed
from core.cli.new_module import FILES, write_module
from core.db.migrations import MigrationSet, head_of
from core.ids import new_id
from core.settings import Settings
from core.testing.forking import make_environment
from core.testing.processes import Member, environment_of, run, run_plugs
from core.testing.stage import Addresses
from core.testing.waiting import until
from tests.processes.conftest import OpenSite, Site
from tests.processes.test_toggles import plugs

OWN_LINES = ("plugs_rsvp/__init__.py", "plugs_rsvp/contract.py", "plugs_rsvp/migrations/0001_answers.py",
             "tests/test_conformance.py")  # fmt: skip
MAY_IMPORT = {"core.sdk", "msgspec", "plugs_rsvp.contract"} | sys.stdlib_module_names
PIP = ("pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")
SECONDS = 110.0


def make(folder: Path, name: str = "rsvp", title: str | None = None) -> Path:
    write_module(name, path=str(folder / name), title=title)
    return folder / name


def install(source: Path, target: Path) -> Path:
    run(*PIP, "--target", str(target), str(source), env=environment_of(Settings()), cwd=source).check_returncode()
    return target


def plugs_in(target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_plugs(*arguments, env=environment_of(Settings(), python_path=[target]), cwd=target.parent)


def answer_of(guest: str) -> dict[str, object]:
    return {"event_id": str(new_id()), "subject_id": str(new_id()), "email": guest, "going": True}


async def confirmed(member: Member) -> bool:
    items = (await member.client.get("/api/v1/rsvp/answers")).json()["items"]
    return items[0]["confirmed_at"] is not None


async def has_forced_row_security(site: Site) -> bool:
    async with site.database.system() as system:
        forced = await system.scalars(
            text("SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = 'rsvp.answers'::regclass")
        )
        return forced.one()


@pytest.mark.timeout(180)
async def test_a_new_module_is_installed_migrated_and_serves_each_tenant_its_own(
    open_site: OpenSite, tmp_path: Path
) -> None:
    target = install(make(tmp_path), tmp_path / "site")
    async with open_site() as site:
        site.deployment.add_to_path(target)
        await plugs(site, "migrate")
        await site.deployment.start_both()
        acme, globex = await site.new_member(), await site.new_member()
        ada = answer_of("ada@example.com")

        added = await acme.client.post("/api/v1/rsvp/answers", json=ada)
        again = await acme.client.post("/api/v1/rsvp/answers", json=ada | {"going": False})
        bad = await acme.client.post("/api/v1/rsvp/answers", json=ada | {"going": "perhaps", "organization_id": "x"})
        theirs = await globex.client.get("/api/v1/rsvp/answers")
        mine = await acme.client.get("/api/v1/rsvp/answers")

        assert (added.status_code, again.status_code, bad.status_code) == (201, 409, 422)
        assert {error["field"] for error in bad.json()["errors"]} == {"going", "organization_id"}
        assert theirs.json() == {"items": [], "next_cursor": None}
        assert [item["email"] for item in mine.json()["items"]] == ["ada@example.com"]
        assert await has_forced_row_security(site)
        await until(lambda: confirmed(acme), within=15, every=0.1)


@pytest.mark.timeout(180)
def test_its_own_tests_pass_as_they_are(addresses: Addresses, tmp_path: Path) -> None:
    source, bin_ = make(tmp_path), make_environment(tmp_path / "venv") / "bin"
    env = environment_of(Settings()) | addresses.lend()

    run(str(bin_ / PIP[0]), *PIP[1:], str(source), env=env, cwd=source).check_returncode()
    ended = run(
        str(bin_ / "pytest"), "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", env=env, cwd=source,
        seconds=SECONDS,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert " passed" in ended.stdout
    assert " skipped" not in ended.stdout
    assert " warning" not in ended.stdout


def test_it_is_under_a_hundred_lines_of_its_own_in_four_files(tmp_path: Path) -> None:
    source = make(tmp_path)
    code = [file.relative_to(source).as_posix() for file in sorted(source.rglob("*.py"))]
    lines = [line for name in OWN_LINES for line in (source / name).read_text().splitlines() if line.strip()]

    assert code == sorted(OWN_LINES)
    assert len(lines) < 100
    assert max(map(len, lines)) <= 120


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module):
                yield module or "."
            case _:
                pass


def test_its_code_imports_the_sdk_and_nothing_behind_it(tmp_path: Path) -> None:
    package = make(tmp_path) / "plugs_rsvp"

    assert {name for file in package.glob("*.py") for name in imported(file)} - MAY_IMPORT == set()


def test_what_is_installed_carries_its_migrations_and_its_schemas(tmp_path: Path) -> None:
    source = make(tmp_path)
    target = install(source, tmp_path / "site")
    inside = {file.relative_to(source) for file in (source / "plugs_rsvp").rglob("*") if file.is_file()}

    assert {file for file in inside if not (target / file).is_file()} == set()
    assert head_of(MigrationSet(name="rsvp", directory=target / "plugs_rsvp" / "migrations")) == "0001"


def test_two_new_modules_stand_side_by_side(tmp_path: Path) -> None:
    target = tmp_path / "site"
    for name in ("rsvp", "field_day"):
        install(make(tmp_path, name), target)

    listed = plugs_in(target, "modules")
    document = json.loads(plugs_in(target, "openapi").stdout)
    schemas = plugs_in(target, "events", "schemas")

    assert "set aside" not in listed.stdout
    assert {f"/api/v1/{name}/answers" for name in ("rsvp", "field_day")} <= document["paths"].keys()
    assert {"RsvpAnswerIn", "FieldDayAnswerIn"} <= document["components"]["schemas"].keys()
    assert schemas.returncode == 0, schemas.stderr


def test_an_event_of_a_third_party_that_breaks_its_promise_fails_the_check(tmp_path: Path) -> None:
    contract = make(tmp_path) / "plugs_rsvp" / "contract.py"
    contract.write_text(contract.read_text().replace("going: bool", "coming: bool"))
    target = install(tmp_path / "rsvp", tmp_path / "site")

    ended = plugs_in(target, "events", "schemas", "rsvp")

    assert ended.returncode == 1
    assert "rsvp.answered: going was removed" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my-module", "'my_module' can"),
        ("Rsvp", "it must match"),
        ("r", "it must match"),
        ("1st", "it must match"),
        ("r" * 40, "it must match"),
        ("rsvp\n", "it must match"),
        ("../rsvp", "it must match"),
        ("café", "it must match"),
        ("core", "the core has it"),
        ("modules", "the core has it"),
        ("order", "PostgreSQL keeps it"),
        ("pg_rsvp", "PostgreSQL keeps it"),
        ("class", "a keyword of Python"),
    ],
)
def test_a_name_that_could_not_work_is_refused_and_nothing_is_written(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(CommandFailed, match=says):
        write_module(name, path=str(tmp_path / "new"), title=None)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "title", ['Say "RSVP"', "back\\slash\\", "it's", "Ünïcode ☺", "$name ${x} $$", '"""', "{braces}"]
)
def test_a_title_is_what_was_given_whatever_it_holds(tmp_path: Path, title: str) -> None:
    source = make(tmp_path, title=title)
    tree = ast.parse((source / "plugs_rsvp" / "__init__.py").read_text())
    titles = [
        ast.literal_eval(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "title"
    ]

    assert titles == [title]
    assert tomllib.loads((source / "pyproject.toml").read_text())["project"]["description"] == title


@pytest.mark.parametrize("title", ["", "  ", "two\nlines", "nul\0", "x" * 81, "\ud800"])
def test_a_title_that_is_no_line_of_text_is_refused(tmp_path: Path, title: str) -> None:
    with pytest.raises(CommandFailed, match="--title"):
        make(tmp_path, title=title)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "rsvp").mkdir()
    (tmp_path / "rsvp" / "mine.txt").write_text("mine")

    with pytest.raises(CommandFailed, match="not empty"):
        make(tmp_path)

    assert [file.name for file in tmp_path.rglob("*")] == ["rsvp", "mine.txt"]


def test_a_file_in_the_way_or_no_folder_to_write_in_is_told(tmp_path: Path) -> None:
    (tmp_path / "rsvp").write_text("mine")

    with pytest.raises(CommandFailed, match="not empty"):
        make(tmp_path)
    with pytest.raises(CommandFailed, match="no folder"):
        make(tmp_path / "absent")


def test_an_empty_folder_stays_the_one_that_a_shell_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    write_module("rsvp", path=".", title=None)

    assert Path("pyproject.toml").is_file()
    assert [folder.name for folder in tmp_path.iterdir()] == ["here"]


def test_an_empty_folder_is_filled_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "rsvp").symlink_to(tmp_path / "real")

    make(tmp_path)

    assert (tmp_path / "real" / "pyproject.toml").is_file()
    assert (tmp_path / "rsvp").is_symlink()


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "FILES", {**FILES, "last.txt": "no-such-template"})

    with pytest.raises(FileNotFoundError):
        make(tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_there", [False, True])
def test_of_many_who_write_one_folder_at_once_one_does(tmp_path: Path, is_there: bool) -> None:
    if is_there:
        (tmp_path / "rsvp").mkdir()

    def attempt(_: int) -> bool:
        try:
            make(tmp_path)
        except (CommandFailed, OSError):
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(attempt, range(8)))

    assert wrote.count(True) == 1
    assert [folder.name for folder in tmp_path.iterdir()] == ["rsvp"]
    assert sum(file.is_file() for file in (tmp_path / "rsvp").rglob("*")) == len(FILES)


def test_every_template_is_used(tmp_path: Path) -> None:
    source = make(tmp_path)

    assert {file.name for file in generator.TEMPLATES.iterdir()} == {f"{name}.template" for name in FILES.values()}
    assert sum(file.is_file() for file in source.rglob("*")) == len(FILES)
    assert [file for file in source.rglob("*") if file.is_file() and "$" in file.read_text()] == [
        source / "plugs_rsvp" / "event_schemas" / "rsvp.answered.v1.json"
    ]
