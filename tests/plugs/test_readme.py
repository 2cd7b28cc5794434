"""What the README says is run here, as a newcomer would run it."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import pytest

from core.settings import VARIABLES, Settings
from core.testing.processes import Deployment
from core.testing.stage import Addresses, clone_template, drop_database

ROOT = Path(__file__).parents[2]
PLUGS = Path(sys.executable).with_name("plugs")
DATABASE = "plugs_readme"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.fixture
async def scratch(addresses: Addresses) -> AsyncGenerator[Settings]:
    await clone_template(addresses, DATABASE)
    yield addresses.settings(database=DATABASE, namespace="readme")
    await drop_database(addresses, DATABASE)


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """The README's module, installed as a distribution of its own beside ours."""
    package, metadata = tmp_path / "rsvp", tmp_path / "rsvp-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (source,) = blocks("python")
    (package / "__init__.py").write_text(source)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rsvp\nVersion: 1.0\n")
    (entry_points,) = blocks("toml")
    (metadata / "entry_points.txt").write_text(
        entry_points.replace('[project.entry-points."plugs.modules"]', "[plugs.modules]").replace('"', "")
    )
    return tmp_path


def environment(settings: Settings, **others: str) -> dict[str, str]:
    given = {VARIABLES[field]: str(getattr(settings, field)) for field in ("database_url", "redis_url")}
    return {**os.environ, **given, "PLUGS_LOG_LEVEL": "error", **others}


async def plugs(*arguments: str, env: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        PLUGS, *arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


async def test_the_module_of_the_readme_works(scratch: Settings, distribution: Path) -> None:
    path = {"PYTHONPATH": str(distribution)}
    env = environment(scratch, **path)

    assert "RSVP" in await plugs("modules", env=env)
    await plugs("makemigration", "rsvp", "answers", env=env)
    await plugs("migrate", env=env)

    async with Deployment(scratch, environment=path) as deployment:
        event = "0198c0de-0000-7000-8000-000000000001"
        client = await deployment.sign_in_new_tenant()
        assert (await client.post(f"/api/v1/rsvp/{event}", json={"going": True})).status_code == 201
        assert (await client.get(f"/api/v1/rsvp/{event}")).json() == [True]
        other = await deployment.sign_in_new_tenant()
        assert (await other.get(f"/api/v1/rsvp/{event}")).json() == []
    connection = await asyncpg.connect(scratch.database_url)
    try:
        forced = "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'rsvp.answers'::regclass"
        assert await connection.fetchval(forced) is True
    finally:
        await connection.close()
