"""`plugs keys`, as an operator runs it."""

import asyncio
from collections.abc import Mapping
from uuid import uuid4

from sqlalchemy import select

from core.cli import main
from core.identity.credential_models import SigningKey
from core.runtime import Runtime
from core.secrets.models import DataKey
from core.secrets.sealed import place_of
from core.secrets.vault import Vault
from core.secrets.wrapping import WrappingKeys
from core.testing.processes import PLUGS, environment_of


async def plugs(environ: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        PLUGS, *arguments, env=dict(environ), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_rotating_the_signing_key_adds_one_that_is_listed(scratch: Runtime) -> None:
    environ = environment_of(scratch.settings)

    code, said = await plugs(environ, "keys", "rotate", "--signing")

    assert code == 0, said
    async with scratch.open_database("test") as database, database.system() as system:
        made = (await system.scalars(select(SigningKey.id))).one()
    assert str(made) in said
    assert str(made) in (await plugs(environ, "keys", "list"))[1]


async def test_without_the_key_that_wraps_them_rotation_says_which_is_missing(scratch: Runtime) -> None:
    async with scratch.open_database("test") as database:
        vault = Vault(database, WrappingKeys({"lost": b"1" * 32}))
        await vault.seal(place_of(SigningKey.private_key, row_id=uuid4()), b"secret")

    code, said = await plugs(environment_of(scratch.settings), "keys", "rotate")

    assert code == 1
    assert "'lost'" in said
    async with scratch.open_database("test") as database, database.system() as system:
        assert (await system.scalars(select(DataKey.number))).all() != []


def test_the_group_is_there() -> None:
    assert set(main.commands["keys"].commands) == {"list", "rotate"}  # type: ignore[attr-defined]
