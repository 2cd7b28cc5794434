"""Commands that work on the database: migrations, tenants, demo data."""

import asyncio
import re

import click
import msgspec

from core.cli.common import CommandFailed, load_runtime, need, relative, with_database
from core.db.database import Database
from core.db.migrations import MigrationSet, downgrade, make_revision, upgrade
from core.demo import make_demo
from core.identity.directory import create_organization, list_organizations
from core.identity.passwords import MIN_LENGTH, hash_password
from core.identity.schemas import Slug
from core.runtime import Runtime
from core.settings import Environment
from core.text import Email


def _set_of(runtime: Runtime, module: str) -> MigrationSet:
    sets = {migration_set.name: migration_set for migration_set in runtime.migration_sets}
    if module not in sets:
        raise CommandFailed(f"No module {module!r} with migrations here; there are: {', '.join(sets)}")
    return sets[module]


def migrate_database(module: str | None, *, to: str, down: str | None) -> None:
    runtime = load_runtime()
    need(runtime.settings, "owner_url")
    if down is not None:
        if module is None:
            raise CommandFailed("Say which module to take back: plugs migrate MODULE --down REVISION")
        asyncio.run(downgrade(runtime.settings.owner_url, _set_of(runtime, module), to=down))
        click.echo(f"{module}: back to {down}")
        return
    sets = runtime.migration_sets if module is None else [_set_of(runtime, module)]
    if to != "head" and module is None:
        raise CommandFailed("--to names a revision of one module: plugs migrate MODULE --to REVISION")
    asyncio.run(upgrade(runtime.settings.owner_url, sets, to=to, say=click.echo))
    click.echo("The database is up to date.")


def write_migration(module: str, message: str) -> None:
    runtime = load_runtime()
    need(runtime.settings, "owner_url")
    migration_set = next((s for s in runtime.migration_sets if s.name == module), None)
    if migration_set is None and (plug := runtime.plugs.plugs.get(module)) is not None:
        migration_set = MigrationSet(name=module, directory=plug.directory / "migrations")
    if migration_set is None:
        raise CommandFailed(f"No module {module!r} here")
    path = asyncio.run(make_revision(runtime.settings.owner_url, migration_set, message))
    click.echo(f"Wrote {relative(path)}")


def make_tenant(slug: str, *, name: str, owner: str, password: str) -> None:
    try:
        slug = msgspec.convert(slug, Slug)
        owner = msgspec.convert(owner, Email)
    except msgspec.ValidationError as error:
        raise CommandFailed(f"SLUG is lower-case letters, digits and hyphens, EMAIL an address ({error})") from error
    if len(password) < MIN_LENGTH:
        raise CommandFailed(f"The password must have at least {MIN_LENGTH} characters")

    async def work(_: Runtime, database: Database) -> None:
        made = await create_organization(
            database,
            name=name,
            slug=slug,
            owner_email=owner,
            owner_names=(re.split(r"[.@]", owner)[0].title(), ""),
            password_hash=await hash_password(password),
        )
        if made is None:
            raise CommandFailed("The slug or the owner's address is taken")
        click.echo(f"{slug}  {made.organization_id}")

    with_database(work)


def show_tenants() -> None:
    async def work(_: Runtime, database: Database) -> None:
        for organization in await list_organizations(database):
            state = "active" if organization.is_active else "suspended"
            click.echo(f"{organization.slug:<24} {organization.id}  {state:<9}  {organization.name}")

    with_database(work)


def seed_demo() -> None:
    async def work(runtime: Runtime, database: Database) -> None:
        if runtime.settings.environment is Environment.PRODUCTION:
            raise CommandFailed("Demo data never goes into production")
        made = await make_demo(runtime, database)
        click.echo(f"Made {', '.join(made)}." if made else "The demo organizations are there already.")

    with_database(work)
