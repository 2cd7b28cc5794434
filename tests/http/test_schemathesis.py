"""Schemathesis reads our own document and tries to catch the API at doing something else, over real HTTP."""

import asyncio
import os
import re
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
ENDING = ("logout", "end_session")
"""They end the session that every other operation needs."""
UNTRIED = re.compile(r"^  - (\w+ /\S+)$", re.MULTILINE)
"""What the report says of an operation that has answered 401 and 403 alone."""
ASKING_FOR_A_PASSWORD = {
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/mfa/recovery-codes",
    "POST /api/v1/auth/mfa/totp",
    "POST /api/v1/auth/mfa/totp/disable",
    "POST /api/v1/auth/oidc/{provider}/link",
    "POST /api/v1/auth/password",
    "POST /api/v1/users/me/deactivate",
}
"""Nobody guesses it."""
EXAMPLES = 1
"""For each operation and phase. More find more: by hand, try 300 and some seeds after a change to types or routes."""


@pytest.fixture(scope="module")
async def served(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """`plugs serve` on the test's database, as a process of its own; its address."""
    own = structs.replace(settings, port=free_port(), log_level="info", access_token_seconds=3600)
    with Deployment(own, tmp_path_factory.mktemp("served")) as deployment:
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
    apart = (*(f"--exclude-operation-id={each}" for each in ENDING), f"--exclude-path-regex={OPERATORS}")
    code, output = await schemathesis(served, await new_tenant(), tmp_path, *apart)

    assert code == 0, output
    assert set(UNTRIED.findall(output)) <= ASKING_FOR_A_PASSWORD, output  # else something has ended the session


@pytest.mark.parametrize("ending", ENDING)
async def test_schemathesis_finds_nothing_in_what_ends_a_session(
    served: str, new_tenant: MakeTenant, tmp_path: Path, ending: str
) -> None:
    code, output = await schemathesis(served, await new_tenant(), tmp_path, f"--include-operation-id={ending}")

    assert code == 0, output
