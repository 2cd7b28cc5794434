"""Commands that look after keys: those that seal secrets, and those that sign access tokens."""

from collections.abc import Awaitable, Callable

import click
from sqlalchemy import func, select

from core.cli.common import CommandFailed, with_database
from core.db.database import Database
from core.identity.credential_models import SigningKey
from core.identity.signing_keys import SigningKeys
from core.runtime import Runtime
from core.secrets.cipher import UnsealError
from core.secrets.models import DataKey
from core.secrets.rotation import Rotation, RotationStalled
from core.secrets.vault import Vault
from core.secrets.wrapping import WrappingKeys


def _with_vault(work: Callable[[Runtime, Database, Vault], Awaitable[None]]) -> None:
    async def run(runtime: Runtime, database: Database) -> None:
        await work(runtime, database, Vault(database, WrappingKeys(runtime.settings.wrapping_keys)))

    try:
        with_database(run)
    except (RotationStalled, UnsealError) as error:
        raise CommandFailed(str(error)) from error


def rotate_data_keys() -> None:
    async def work(_: Runtime, database: Database, vault: Vault) -> None:
        done = await Rotation(database, vault, say=click.echo).run()
        click.echo(f"Done: data keys of {done.organizations} organizations, wrapped by {vault.wrapping.primary!r}.")

    _with_vault(work)


def rotate_signing_key() -> None:
    async def work(runtime: Runtime, database: Database, vault: Vault) -> None:
        keys = SigningKeys(database, vault, access_seconds=runtime.settings.access_token_seconds)
        click.echo(f"Access tokens are signed with {await keys.rotate()} from now on, within a minute everywhere.")

    _with_vault(work)


def list_keys() -> None:
    async def work(_: Runtime, database: Database, vault: Vault) -> None:
        async with database.system() as system:
            wrapped = await system.execute(
                select(DataKey.wrapping_key, func.count(), func.count(DataKey.retired_at))
                .group_by(DataKey.wrapping_key)
                .order_by(DataKey.wrapping_key)
            )
            signing = await system.scalars(select(SigningKey).order_by(SigningKey.signs_from))
            click.echo("Data keys, by the key of PLUGS_ENCRYPTION_KEYS that wraps them:")
            for name, count, retired in wrapped:
                role = "primary" if name == vault.wrapping.primary else "to be replaced by `plugs keys rotate`"
                click.echo(f"  {name:<40} {count:>6} keys, {retired} retired   {role}")
            click.echo("Signing keys:")
            for key in signing:
                click.echo(f"  {key.id}   signs from {key.signs_from:%Y-%m-%d %H:%M} UTC")

    _with_vault(work)
