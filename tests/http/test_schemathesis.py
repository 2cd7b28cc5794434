"""Schemathesis reads our own document and tries to catch the API at doing something else, over real HTTP."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from msgspec import structs

from core.settings import Settings
from core.testing.processes import Deployment, free_port
from core.testing.tenants import ORIGIN, MakeTenant, Tenant

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
OPERATORS = "^/api/v1/admin/"
"""They say the same 403 to everything that is asked by anybody else; tests/admin asks as an operator."""
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
SESSIONS = 40
"""More than there are requests that end one; each gets one of its own (see `schemathesis_hooks.py`)."""
EXAMPLES = 1
"""For each operation and phase. More find more: by hand, try 300 and some seeds after a change to types or routes."""


@pytest.fixture(scope="module")
async def served(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    """`plugs serve` on the test's database, as a process of its own; its address."""
    own = structs.replace(settings, port=free_port(), log_level="info", access_token_seconds=3600)
    with Deployment(own, tmp_path_factory.mktemp("served")) as deployment:
        await deployment.start_api()
        yield deployment.url


@pytest.fixture
async def directory(new_tenant: MakeTenant, tmp_path: Path) -> Path:
    """Where Schemathesis runs, with sessions for its hooks to spend."""
    person = await new_tenant()
    sessions = [await signed_in_again(person) for _ in range(SESSIONS)]
    (tmp_path / "sessions.json").write_text(json.dumps(sessions))
    return tmp_path


async def signed_in_again(person: Tenant) -> tuple[str, str]:
    """An `Authorization`, and the id of the session that it is of."""
    identity = person.application.litestar.state.identity
    token = (await identity.enter(person.user_id, person.slug, ORIGIN, second_factor_at=None)).access_token
    return f"Bearer {token}", str((await identity.authenticate(token)).session_id)


@pytest.mark.timeout(400)
async def test_schemathesis_finds_nothing(
    served: str, new_tenant: MakeTenant, directory: Path, pytestconfig: pytest.Config
) -> None:
    """All checks but one in all phases, with the same examples each time."""
    run = await asyncio.create_subprocess_exec(
        str(SCHEMATHESIS),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        f"{served}/openapi.json",
        f"--header=Authorization: {(await new_tenant()).client.headers['authorization']}",
        f"--exclude-path-regex={OPERATORS}",
        "--checks=all",
        "--exclude-checks=ignored_auth",  # it asks everything again; tests/isolation asks each route without a token
        f"--max-examples={EXAMPLES}",
        "--generation-deterministic",
        "--no-color",
        env=os.environ
        | {
            "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py"),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(pytestconfig.rootpath / ".hypothesis"),  # its tables of characters
        },
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await run.communicate())[0].decode()

    assert run.returncode == 0, output
    assert set(UNTRIED.findall(output)) <= ASKING_FOR_A_PASSWORD, output  # else something has ended the session
