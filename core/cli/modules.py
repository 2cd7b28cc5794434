"""`plugs modules enable|suspend|disable|purge|uninstall`."""

import asyncio
from pathlib import Path
from uuid import UUID

import click
import msgspec
from msgspec import Struct

from core.cli.common import CommandFailed, load_runtime, need, with_database
from core.db.database import Database
from core.errors import Invalid
from core.identity.directory import find_organization
from core.identity.modules import typed_settings
from core.plugs.removal import purge, uninstall
from core.plugs.switchboard import Step, Switch
from core.principal import Principal, PrincipalKind
from core.runtime import Runtime
from core.toggles.models import ModuleState


def switch_module(
    module: str,
    to: str,
    *,
    tenant: str,
    reason: str | None,
    preview: bool,
    settings: str | None = None,
    cascade: bool = False,
) -> None:
    async def work(runtime: Runtime, database: Database) -> None:
        organization_id = await _organization(database, tenant)
        switchboard = runtime.switchboard(database)
        await runtime.module_states(database).of(organization_id)  # decides first what nobody has decided yet
        given = None if settings is None else _settings(runtime, module, settings)
        switch = Switch(module=module, to=ModuleState(to), settings=given, cascade=cascade, reason=reason)
        if preview:
            _tell(await switchboard.preview(organization_id, switch), tenant, "would be")
            return
        principal = Principal(kind=PrincipalKind.OPERATOR, organization_id=organization_id)
        _tell(await switchboard.switch(principal, switch), tenant, "is")

    with_database(work)


def _tell(steps: list[Step], tenant: str, verb: str) -> None:
    for step in steps:
        click.echo(f"{step.module} {verb} {step.after} for {tenant}; it was {step.before}")
    if not steps:
        click.echo("Nothing to do: it is so already.")


async def _organization(database: Database, tenant: str) -> UUID:
    found = await find_organization(database, tenant)
    if found is None:
        raise CommandFailed(f"There is no organization {tenant!r}; `plugs tenants list` shows all")
    return found


def _settings(runtime: Runtime, module: str, given: str) -> Struct:
    plug = runtime.plugs.plugs.get(module)
    if plug is None:
        raise CommandFailed(f"No module {module!r} is installed")
    try:
        return typed_settings(plug, msgspec.json.decode(given, type=dict[str, object]))
    except msgspec.DecodeError as error:
        raise CommandFailed(f"--settings must be a JSON object: {error}") from error
    except Invalid as error:
        wrong = "\n".join(f"  - {wrong.field}: {wrong.message}" for wrong in error.errors)
        raise CommandFailed(f"{error.detail}\n{wrong}") from error


def purge_module_of(module: str, *, tenant: str, export_to: str, early: bool) -> None:
    async def work(_: Runtime, database: Database) -> None:
        organization_id = await _organization(database, tenant)
        tombstone = await purge(database, organization_id, module, Path(export_to), early=early)
        for table, rows in tombstone.rows.items():
            click.echo(f"{rows:>9} rows of {table}")
        click.echo(f"Exported to {tombstone.directory} and removed.")

    with_database(work)


def drop_module(module: str) -> None:
    settings = load_runtime(quiet=True).settings
    need(settings, "owner_url")
    tables = asyncio.run(uninstall(settings.owner_url, module))
    click.echo(f"Dropped the schema {module} with {len(tables)} tables.")
