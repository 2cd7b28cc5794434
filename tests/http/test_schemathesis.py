"""Schemathesis reads our own document and tries to catch the API at doing something else, over real HTTP."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec import structs

from core.settings import Settings
from core.testing.processes import Deployment, free_port
from core.testing.tenants import MakeTenant, Tenant

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
OPERATORS = "^/api/v1/admin/"
"""They say the same 403 to everything that is asked by anybody else; tests/admin asks as an operator."""
EXAMPLES = 1
"""For each operation and phase. More find more: by hand, try 300 and some seeds after a change to types or routes."""


@pytest.fixture
async def served(settings: Settings, tmp_path: Path) -> AsyncGenerator[str]:
    """`plugs serve` on the test's database, as a process of its own; its address."""
    own = structs.replace(settings, port=free_port(), log_level="info", access_token_seconds=3600)
    with Deployment(own, tmp_path) as deployment:
        await deployment.start_api()
        yield deployment.url


async def schemathesis(address: str, tenant: Tenant, directory: Path, *options: str) -> tuple[int, str]:
    """All checks but one in all phases, with the same examples each time. Returns the exit code and what it printed."""
    run = await asyncio.create_subprocess_exec(
        str(SCHEMATHESIS),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        f"{address}/openapi.json",
        f"--header=Authorization: {tenant.client.headers['authorization']}",
        "--checks=all",
        "--exclude-checks=ignored_auth",  # it asks everything again; tests/isolation asks each route without a token
        f"--max-examples={EXAMPLES}",
        "--generation-deterministic",
        "--no-color",
        *options,
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")},
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await run.communicate()
    return run.returncode or 0, output.decode()


@pytest.mark.timeout(400)
async def test_schemathesis_finds_nothing(served: str, new_tenant: MakeTenant, tmp_path: Path) -> None:
    apart = ("--exclude-operation-id=logout", f"--exclude-path-regex={OPERATORS}")
    code, output = await schemathesis(served, await new_tenant(), tmp_path, *apart)

    assert code == 0, output


async def test_schemathesis_finds_nothing_in_signing_out(served: str, new_tenant: MakeTenant, tmp_path: Path) -> None:
    """With a session of its own, since it ends the session that every other operation needs."""
    code, output = await schemathesis(served, await new_tenant(), tmp_path, "--include-operation-id=logout")

    assert code == 0, output
