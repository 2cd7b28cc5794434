"""What the README says is run here, as a newcomer would run it."""

import asyncio
import re
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from core.runtime import make_runtime
from core.settings import Settings
from core.testing.processes import Deployment, environment_of, free_port, run_plugs
from core.testing.stage import Addresses, clone_template, drop_database

README = (Path(__file__).parents[2] / "README.md").read_text()
DATABASE = f"plugs_readme_{uuid4().hex[:12]}"
EVENT = "0198c0de-0000-7000-8000-000000000001"


def block(language: str, *, number: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)[number]


@pytest.fixture
async def scratch(addresses: Addresses) -> AsyncGenerator[Settings]:
    await clone_template(addresses, DATABASE)
    yield addresses.settings(database=DATABASE, namespace="readme", port=free_port(), log_level="info")
    await drop_database(addresses, DATABASE)


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """The README's module, installed as a distribution of its own beside ours."""
    package, metadata = tmp_path / "rsvp", tmp_path / "rsvp-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (package / "__init__.py").write_text(block("python"))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rsvp\nVersion: 1.0\n")
    entry_points = block("toml").replace('[project.entry-points."plugs.modules"]', "[plugs.modules]").replace('"', "")
    (metadata / "entry_points.txt").write_text(entry_points)
    return tmp_path


def plugs_on(settings: Settings, path: Path, *arguments: str) -> str:
    ended = run_plugs(*arguments, env=environment_of(settings, python_path=[path]), cwd=path)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def run(script: str, *, settings: Settings, path: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-eu", "-c", script),
        env=environment_of(settings, python_path=[path]),
        cwd=path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_module_of_the_readme_works(scratch: Settings, distribution: Path) -> None:
    assert "RSVP" in plugs_on(scratch, distribution, "modules")
    plugs_on(scratch, distribution, "makemigration", "rsvp", "answers")
    plugs_on(scratch, distribution, "migrate")

    with Deployment(scratch, distribution, python_path=[distribution]) as deployment:
        await deployment.start_api()
        async with make_runtime(scratch).open_database("test") as database:
            ours, others = [await deployment.make_member(database, slug) for slug in ("acme", "globex")]
        async with ours.client, others.client:
            assert (await ours.client.post(f"/api/v1/rsvp/{EVENT}", json={"going": True})).status_code == 201
            assert (await ours.client.get(f"/api/v1/rsvp/{EVENT}")).json() == [True]
            assert (await others.client.get(f"/api/v1/rsvp/{EVENT}")).json() == []
    connection = await asyncpg.connect(scratch.database_url)
    forced = await connection.fetchval("SELECT relforcerowsecurity FROM pg_class WHERE oid = 'rsvp.answers'::regclass")
    await connection.close()
    assert forced is True


async def test_the_tour_of_the_readme_shows_what_it_promises(scratch: Settings, tmp_path: Path) -> None:
    tour = block("sh", number=1).replace("http://127.0.0.1:8000", f"http://127.0.0.1:{scratch.port}")
    plugs_on(scratch, tmp_path, "seed")

    with Deployment(scratch, tmp_path) as deployment:
        await deployment.start_both()
        shown = await run(tour, settings=scratch, path=tmp_path)

    assert '"last_name":"Rossi"' in shown
    assert '"state":"queued"' in shown
    assert "id,created_by,updated_by,owner_id,visibility,first_name" in shown
