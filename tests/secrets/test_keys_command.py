"""`plugs keys`, as an operator runs it."""

import subprocess
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from core.cli import main
from core.identity.credential_models import SigningKey
from core.runtime import Runtime
from core.secrets.models import DataKey
from core.secrets.sealed import place_of
from core.secrets.vault import Vault
from core.secrets.wrapping import WrappingKeys
from core.settings import Settings
from core.testing.processes import environment_of, run_plugs


def plugs(settings: Settings, here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_plugs(*arguments, env=environment_of(settings), cwd=here)


async def test_rotating_the_signing_key_adds_one_that_is_listed(scratch: Runtime, tmp_path: Path) -> None:
    answer = plugs(scratch.settings, tmp_path, "keys", "rotate", "--signing")

    assert answer.returncode == 0, answer.stderr
    async with scratch.open_database("test") as database, database.system() as system:
        made = (await system.scalars(select(SigningKey.id))).one()
    assert str(made) in answer.stdout
    assert str(made) in plugs(scratch.settings, tmp_path, "keys", "list").stdout


async def test_without_the_key_that_wraps_them_rotation_says_which_is_missing(scratch: Runtime, tmp_path: Path) -> None:
    async with scratch.open_database("test") as database:
        vault = Vault(database, WrappingKeys({"lost": b"1" * 32}))
        await vault.seal(place_of(SigningKey.private_key, row_id=uuid4()), b"secret")

    answer = plugs(scratch.settings, tmp_path, "keys", "rotate")

    assert answer.returncode == 1
    assert "'lost'" in answer.stderr
    async with scratch.open_database("test") as database, database.system() as system:
        assert (await system.scalars(select(DataKey.number))).all() != []


def test_the_group_is_there() -> None:
    assert set(main.commands["keys"].commands) == {"list", "rotate"}  # type: ignore[attr-defined]
