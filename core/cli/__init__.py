"""`plugs`: run The Plugs, migrate it, look after its tenants, and find out what is wrong.

Commands import what they need when they run, so that `plugs --help` answers at once.
"""

import sys
from collections.abc import Callable
from functools import wraps

import click

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT, epilog="New here? `plugs up` starts everything with demo data.")
@click.version_option(package_name="the-plugs", prog_name="plugs")
def main() -> None:
    """The Plugs: a B2B networking and event platform of pluggable modules.

    Settings come from the environment and from `.env`; see `.env.example` for all of them.
    """


def fails_clearly[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """What a person can mend is told in a sentence and ends with exit code 1, not with a trace."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            if (sentence := _told(error)) is None:
                raise
            click.echo(sentence, err=True)
        sys.exit(1)

    return run


def _told(error: Exception) -> str | None:
    """What to say of an error; None for one that nobody foresaw. What knows the kinds is imported only then: most
    commands need little of it."""
    from alembic.util import CommandError
    from asyncpg import InterfaceError, PostgresError
    from redis.exceptions import RedisError
    from sqlalchemy.exc import DBAPIError

    from core.cli.common import CommandFailed
    from core.errors import PlugsError
    from core.local.server import ServerError
    from core.plugs.discovery import BadModule
    from core.settings import SettingsError

    if isinstance(error, SettingsError | ServerError | CommandFailed | CommandError | BadModule | PlugsError):
        return str(error)
    if isinstance(error, OSError | PostgresError | InterfaceError | RedisError | DBAPIError):
        return f"{type(error).__name__}: {error}\n`plugs doctor` looks into it."
    return None


@main.command()
@fails_clearly
def up() -> None:
    """Start everything here: servers, migrations, demo data, API and worker.

    Where DATABASE_URL or REDIS_URL is set, that server is used. Otherwise a real PostgreSQL and a real Redis start from
    this environment, with their data under PLUGS_DATA_DIR, and the organizations `acme` and `globex` are made with
    plausible contacts. Ctrl-C stops all of it.
    """
    from core.cli.up import run_everything

    sys.exit(run_everything())


@main.command()
@click.option("--host", help="Address to listen on; PLUGS_HOST where not given.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on; PLUGS_PORT where not given.")
@fails_clearly
def serve(host: str | None, port: int | None) -> None:
    """Serve the API from this process. Start more of them to use more processors."""
    from core.cli.starting import keeps_what_is_made

    with keeps_what_is_made():
        from core.cli.serving import make_server

        server = make_server(host=host, port=port)
    server.run()


@main.command()
@fails_clearly
def worker() -> None:
    """Run background jobs, the relay and the scheduler. Any number may run side by side."""
    from core.cli.starting import keeps_what_is_made

    with keeps_what_is_made():
        from core.cli.serving import make_worker

        run = make_worker()
    run()


@main.command()
@click.argument("module", required=False)
@click.option("--to", default="head", show_default=True, help="A revision of MODULE, or `head`.")
@click.option("--down", metavar="REVISION", help="Take MODULE back to REVISION: a number, `-1`, or `base`.")
@fails_clearly
def migrate(module: str | None, to: str, down: str | None) -> None:
    """Bring the database to what the code expects.

    \b
    plugs migrate                        all modules, dependencies first
    plugs migrate networking             one module
    plugs migrate networking --down -1   one step back
    """
    from core.cli.database import migrate_database

    migrate_database(module, to=to, down=down)


@main.command()
@click.argument("module")
@click.argument("message")
@fails_clearly
def makemigration(module: str, message: str) -> None:
    """Write the revision that takes MODULE's tables to what its models say.

    \b
    plugs makemigration networking "tags on contacts"

    Read what it wrote before you commit it: renames look like a drop and an add.
    """
    from core.cli.database import write_migration

    write_migration(module, message)


@main.group(invoke_without_command=True)
@click.pass_context
@fails_clearly
def modules(context: click.Context) -> None:
    """List the modules that were found, and those that were set aside and why; or switch one for a tenant.

    \b
    plugs modules
    plugs modules enable networking --tenant acme
    plugs modules suspend networking --tenant acme --reason "Unpaid" --cascade
    """
    if context.invoked_subcommand is None:
        from core.cli.reports import list_modules

        list_modules()


@main.command("new-module")
@click.argument("name")
@click.option("--path", type=click.Path(), metavar="DIR", help="The folder to write; ./NAME where not given.")
@click.option("--title", help="How people call it; made from NAME where not given.")
@fails_clearly
def new_module(name: str, path: str | None, title: str | None) -> None:
    """Write a whole module to start from: NAME as a distribution of its own, with its test and its CI.

    \b
    plugs new-module rsvp
    plugs new-module rsvp --path ~/plugs-rsvp --title "RSVP"

    It has a table, two routes, an event, a subscriber and settings, and passes the conformance kit as it is.
    """
    from core.cli.new_module import write_module

    write_module(name, path=path, title=title)


def _switches(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that every switch takes."""
    for add in (
        click.option("--preview", is_flag=True, help="Only tell what would be done."),
        click.option("--reason", help="Why, for whoever asks later."),
        click.option("--tenant", required=True, metavar="SLUG", help="The organization."),
        click.argument("module"),
    ):
        command = add(command)
    return command


@modules.command("enable")
@_switches
@click.option("--settings", metavar="JSON", help="The module's settings; its defaults where not given.")
@fails_clearly
def enable_module(module: str, tenant: str, reason: str | None, preview: bool, settings: str | None) -> None:
    """Turn MODULE on, and what it requires. Jobs that waited for it go on."""
    from core.cli.modules import switch_module

    switch_module(module, "enabled", tenant=tenant, reason=reason, preview=preview, settings=settings)


_cascade = click.option("--cascade", is_flag=True, help="Also turn off what can't do without it.")


@modules.command("suspend")
@_switches
@_cascade
@fails_clearly
def suspend_module(module: str, tenant: str, reason: str | None, preview: bool, cascade: bool) -> None:
    """Turn MODULE off for a while. Its jobs wait, and so does what happens meanwhile."""
    from core.cli.modules import switch_module

    switch_module(module, "suspended", tenant=tenant, reason=reason, preview=preview, cascade=cascade)


@modules.command("disable")
@_switches
@_cascade
@fails_clearly
def disable_module(module: str, tenant: str, reason: str | None, preview: bool, cascade: bool) -> None:
    """Turn MODULE off. Its data are kept for PLUGS_MODULE_RETENTION_DAYS at the least."""
    from core.cli.modules import switch_module

    switch_module(module, "disabled", tenant=tenant, reason=reason, preview=preview, cascade=cascade)


@modules.command("purge")
@click.argument("module")
@click.option("--tenant", required=True, metavar="SLUG", help="The organization.")
@click.option(
    "--export-to",
    type=click.Path(file_okay=False, writable=True),
    required=True,
    help="A folder for the organization's data, one JSONL file a table, with digests.",
)
@click.option("--early", is_flag=True, help="Don't wait until the data need not be kept any more.")
@fails_clearly
def purge_module(module: str, tenant: str, export_to: str, early: bool) -> None:
    """Export the data of a disabled MODULE, then remove them for good."""
    from core.cli.modules import purge_module_of

    purge_module_of(module, tenant=tenant, export_to=export_to, early=early)


@modules.command("uninstall")
@click.argument("module")
@click.confirmation_option(prompt="This drops the module's schema. Go on?")
@fails_clearly
def uninstall_module(module: str) -> None:
    """Drop the schema of a MODULE that no organization uses and whose data none keeps.

    Take its distribution away first (`pip uninstall …`), or `plugs migrate` makes it anew.
    """
    from core.cli.modules import drop_module

    drop_module(module)


@main.group()
def tenants() -> None:
    """Look after the organizations of this deployment."""


@tenants.command("create")
@click.argument("slug")
@click.option("--name", help="The organization's full name; the slug where not given.")
@click.option("--owner", required=True, metavar="EMAIL", help="Address that the owner signs in with.")
@click.password_option(envvar="PLUGS_OWNER_PASSWORD", help="The owner's password; asked for where not given.")
@fails_clearly
def create_tenant(slug: str, name: str | None, owner: str, password: str) -> None:
    """Make an organization with its owner.

    \b
    plugs tenants create acme --name "Acme Corporation" --owner ada@acme.example
    """
    from core.cli.database import make_tenant

    make_tenant(slug, name=name or slug, owner=owner, password=password)


@tenants.command("list")
@fails_clearly
def list_tenants() -> None:
    """List all organizations."""
    from core.cli.database import show_tenants

    show_tenants()


@main.group()
def permissions() -> None:
    """Who may do what."""


@permissions.command("matrix")
@click.option("--output", type=click.Path(dir_okay=False, writable=True), help="A file instead of the terminal.")
@fails_clearly
def permission_matrix(output: str | None) -> None:
    """Every route and the system roles that may call it. Needs no database.

    \b
    plugs permissions matrix --output docs/permissions.md
    """
    from core.cli.permissions import print_matrix

    print_matrix(output)


@main.group()
def events() -> None:
    """What modules tell each other."""


@events.command("schemas")
@click.argument("modules", nargs=-1)
@click.option("--write", is_flag=True, help="Write the files that are missing.")
@fails_clearly
def event_schemas(modules: tuple[str, ...], write: bool) -> None:
    """Check that the events of MODULES, or of all, are as they were promised. Needs no database.

    \b
    plugs events schemas
    plugs events schemas rsvp --write

    An event may gain optional fields, with its `version` raised. What was removed, renamed, retyped or made required
    is named, and the exit code is 1.
    """
    from core.cli.events import check_schemas

    check_schemas(modules, write=write)


@main.group()
def keys() -> None:
    """Look after the keys that seal secrets and sign access tokens."""


@keys.command("list")
@fails_clearly
def list_all_keys() -> None:
    """List what wraps the data keys, and the signing keys. Shows no key itself."""
    from core.cli.keys import list_keys

    list_keys()


@keys.command()
@click.option("--signing", is_flag=True, help="Replace the key that signs access tokens instead.")
@fails_clearly
def rotate(signing: bool) -> None:
    """Replace the keys that seal secrets, while the system serves.

    \b
    Every organization gets a new data key, every secret is sealed anew, the old keys are deleted, and what an
    earlier key of PLUGS_ENCRYPTION_KEYS wraps is wrapped by the first one. A run that was cut short is taken up
    by the next.
    """
    from core.cli.keys import rotate_data_keys, rotate_signing_key

    if signing:
        rotate_signing_key()
    else:
        rotate_data_keys()


@main.command()
@fails_clearly
def seed() -> None:
    """Add the demo organizations to a local database. Refused in production. Does nothing where they exist."""
    from core.cli.database import seed_demo

    seed_demo()


@main.command()
@click.option("--output", type=click.Path(dir_okay=False, writable=True), help="A file instead of the terminal.")
@fails_clearly
def openapi(output: str | None) -> None:
    """Print the OpenAPI document. Needs no database."""
    from core.cli.reports import print_openapi

    print_openapi(output)


@main.command()
@fails_clearly
def doctor() -> None:
    """Find out what is wrong here, and how to mend it. Exit code 1 where something is."""
    from core.cli.doctor import examine

    sys.exit(examine())
