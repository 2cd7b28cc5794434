"""The files that deploy The Plugs: the tools that know their formats, and the rules those tools don't know."""

import hashlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from core.settings import VARIABLES

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
STATIC = ROOT / "core" / "http" / "static"
PACKAGES = ("core", "modules", "migrations")

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}

# Addresses that the vendored scripts name without asking them for anything when a page opens: XML namespaces, schema
# ids, links and error messages. A host that is missing here appeared with a renewal: look at both pages in a browser.
HOSTS_NAMED_BUT_NOT_ASKED = {
    "api",  # a template: https://api.${region}/registry/
    "base",  # a template: https://base${random}
    "datatracker.ietf.org",
    "example.com",
    "fb.me",
    "git.io",
    "github.com",
    "instagram.com",
    "json-schema.org",
    "marked.js.org",
    "raw.githubusercontent.com",  # the id of a schema within ajv
    "reactjs.org",
    "redocly.com",
    "redux.js.org",
    "soundcloud.com",
    "spdx.org",
    "spec.openapis.org",
    "stackoverflow.com",
    "swagger.io",
    "twitter.com",
    "validator.swagger.io",  # a badge of the standalone layout, which Litestar's page doesn't use
    "vladimirgorej.com",
    "www.facebook.com",
    "www.rfc-editor.org",
    "www.tiktok.com",
    "www.w3.org",
}


def complaints(*command: str | Path) -> str:
    """What a command says when it fails; nothing, when it doesn't."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=90)
    return "" if done.returncode == 0 else f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's stages, each a list of (instruction, arguments) from its FROM on."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, arguments = line.partition(" ")
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, arguments.strip()))
    return found


def arguments_of(instruction: str, stage: list[tuple[str, str]]) -> list[str]:
    return [arguments for name, arguments in stage if name == instruction]


# --- Dockerfile


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    assert complaints(TOOLS / "hadolint", "--failure-threshold", "style", "--disable-ignore-pragma", "Dockerfile") == ""


def test_the_image_runs_the_python_that_the_project_names() -> None:
    wanted = (ROOT / ".python-version").read_text().strip()
    (image,) = {arguments.split()[0] for stage in stages() for arguments in arguments_of("FROM", stage)} - {"base"}
    assert re.fullmatch(rf"python:{re.escape(wanted)}\.\d+-slim-[a-z]+", image)


def test_the_image_runs_as_nobody_in_particular() -> None:
    user = arguments_of("USER", stages()[-1])[-1]
    uid, gid = map(int, user.split(":"))
    assert uid >= 10_000
    assert gid >= 10_000


def test_the_last_stage_installs_and_compiles_nothing() -> None:
    last = stages()[-1]
    builders = r"\b(apt-get|apt|apk|pip3? install|-m pip|uv|curl|wget|gcc|g\+\+|cc|make|build-essential|hatchling)\b"
    assert not [line for line in arguments_of("RUN", last) if re.search(builders, line)]
    assert arguments_of("COPY", last) == ["--from=build /opt/plugs /opt/plugs"]
    assert not arguments_of("ADD", last)


def test_no_pip_stays_in_the_image() -> None:
    removed = next(line for line in arguments_of("RUN", stages()[-1]) if line.startswith("rm -rf "))
    for path in ("ensurepip", "site-packages/pip*", "/usr/local/bin/pip*"):
        assert path in removed
    made = [line for stage in stages() for line in arguments_of("RUN", stage) if "-m venv" in line]
    assert made
    for line in made:
        assert line.count("-m venv") == line.count("--without-pip")


def test_everything_installed_is_locked_by_hash() -> None:
    installs = [
        command
        for stage in stages()
        for line in arguments_of("RUN", stage)
        for command in line.split("&&")
        if " install " in command
    ]
    assert installs
    for command in installs:
        ours = {"--no-index", "--no-deps"} <= set(command.split()) and command.strip().endswith(".whl")
        assert ours or {"--require-hashes", "--only-binary"} <= set(command.split()), command


@pytest.mark.parametrize("lock", ["production", "development", "build"])
def test_a_lock_names_no_index_and_pins_each_requirement_by_hash(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    requirements = re.split(r"\n(?=\S)", text.strip())
    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9._\[\]-]+==\S+( ; .+)? \\\n    --hash=sha256:[0-9a-f]{64}", requirement), requirement


def test_the_build_lock_holds_what_the_project_is_built_with() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    lines = (ROOT / "requirements" / "build.in").read_text().splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert [re.split(r"[<>=~! ]", line)[0] for line in listed] == [re.split(r"[<>=~! ]", line)[0] for line in wanted]


def test_the_image_stops_on_sigterm_and_knows_whether_it_lives() -> None:
    last = stages()[-1]
    assert arguments_of("STOPSIGNAL", last) == ["SIGTERM"]
    assert arguments_of("EXPOSE", last) == ["8000"]
    assert json.loads(arguments_of("ENTRYPOINT", last)[0]) == ["plugs"]
    assert json.loads(arguments_of("CMD", last)[0]) == ["serve"]
    (check,) = arguments_of("HEALTHCHECK", last)
    program = json.loads(check[check.index("[") :])
    assert program[:2] == ["python", "-c"]
    assert "/health/live" in program[2]
    compile(program[2], "HEALTHCHECK", "exec")


def test_the_build_context_holds_only_what_is_named() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {
        source.rstrip("/")
        for line in arguments_of("COPY", stages()[1])
        for source in line.split()[:-1]
        if not source.startswith("requirements/")
    }
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied | {"requirements/*.lock"}


# --- docker-compose.yml and the workflows


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.compose-spec", "docker-compose.yml"),
        *(
            (schema, str(workflow.relative_to(ROOT)))
            for workflow in sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
            for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout")
        ),
    ],
)
def test_a_file_obeys_its_schema(schema: str, path: str) -> None:
    assert complaints(TOOLS / "check-jsonschema", "--builtin-schema", schema, path) == ""


def test_compose_starts_the_three_commands() -> None:
    assert {name: service["command"] for name, service in OURS.items()} == {
        "migrate": ["migrate"],
        "api": ["serve"],
        "worker": ["worker"],
    }


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_of_ours_drops_its_privileges(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert not {"privileged", "cap_add", "user", "pid", "ipc", "network_mode", "devices", "volumes"} & service.keys()


@pytest.mark.parametrize("name", ["api", "worker"])
def test_nothing_of_ours_starts_before_the_migrations_are_done(name: str) -> None:
    assert OURS[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_a_waited_for_service_can_become_healthy() -> None:
    waited_for = {
        name
        for service in COMPOSE["services"].values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited_for
    assert all("test" in COMPOSE["services"][name]["healthcheck"] for name in waited_for)


def test_published_ports_are_reached_from_this_machine_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert not COMPOSE["services"]["postgres"].get("ports")
    assert not COMPOSE["services"]["redis"].get("ports")


def test_the_secret_key_has_no_default() -> None:
    for service in OURS.values():
        assert service["environment"]["PLUGS_SECRET_KEY"].startswith("${PLUGS_SECRET_KEY:?")


def test_every_setting_that_is_set_exists() -> None:
    """A misspelt PLUGS_ variable is an error at start."""
    in_image = re.findall(r"\bPLUGS_[A-Z_]+(?==)", " ".join(arguments_of("ENV", stages()[-1])))
    in_compose = [name for service in OURS.values() for name in service["environment"] if name.startswith("PLUGS_")]
    assert in_image
    assert in_compose
    assert {*in_image, *in_compose} <= set(VARIABLES.values())


def test_workflows_read_only_and_pin_every_action_by_commit() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.y*ml"):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert "permissions" not in job
            for step in job["steps"]:
                assert "uses" not in step or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])


def test_continuous_integration_runs_what_the_project_names() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert "bash .ci/run" in [step.get("run") for step in workflow["jobs"]["check"]["steps"]]


def test_pre_commit_accepts_its_configuration() -> None:
    assert complaints(TOOLS / "pre-commit", "validate-config", ".pre-commit-config.yaml") == ""


def test_pre_commit_downloads_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] in {"system", "pygrep"}
        if hook["language"] == "system":
            tool = Path(hook["entry"].split()[0])
            assert tool.parts[:2] == (".venv", "bin")
            assert (TOOLS / tool.name).exists()


# --- vendored documentation pages


def test_the_vendored_files_are_the_ones_that_were_looked_at() -> None:
    listed = dict(
        re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", (STATIC / "README.md").read_text(), re.MULTILINE)
    )
    present = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in STATIC.iterdir()}
    del present["README.md"], present["swagger-start.js"]  # ours
    assert present == listed


def scripts_and_styles() -> Iterator[Path]:
    return (path for path in sorted(STATIC.iterdir()) if path.suffix in {".js", ".css"})


def test_the_vendored_files_name_no_host_that_was_not_looked_at() -> None:
    text = "\n".join(path.read_text() for path in scripts_and_styles())
    hosts = {urlsplit(address).hostname for address in re.findall(r"https?://[a-zA-Z0-9.-]*[a-zA-Z0-9]", text)}
    assert hosts <= HOSTS_NAMED_BUT_NOT_ASKED


def test_the_vendored_files_ask_for_no_further_file() -> None:
    for path in scripts_and_styles():
        text = path.read_text()
        assert not re.findall(r"sourceMappingURL=(?!data:)", text), path.name
        if path.suffix == ".css":
            assert "@import" not in text
            assert not re.findall(r"url\((?!\s*[\"']?(?:data:|#))", text)


# --- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel that is built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    assert complaints(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder) == ""
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        return set(archive.namelist())


def present_files() -> set[str]:
    files = {ROOT / "main.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*"))}
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_the_wheel_contains_every_file_of_the_packages(wheel: set[str]) -> None:
    present = present_files()
    assert "core/http/static/swagger-ui.css" in present
    assert present - wheel == set()


def test_the_wheel_contains_nothing_else(wheel: set[str]) -> None:
    others = {name for name in wheel if not re.match(r"the_plugs-[^/]+\.dist-info/", name)}
    assert others - present_files() == set()


def test_the_wheel_carries_the_licence_and_the_command(wheel: set[str]) -> None:
    assert {name.partition("/")[2] for name in wheel if ".dist-info/" in name} >= {
        "licenses/LICENSE",
        "entry_points.txt",
    }
