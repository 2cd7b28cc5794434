"""`plugs events schemas`: what the modules promise of their events, checked or written."""

import click

from core.cli.common import CommandFailed, load_runtime, relative
from core.plugs.event_schemas import UnfitSchemas


def check_schemas(modules: tuple[str, ...], *, write: bool) -> None:
    """Without `modules`, all are checked; written are only those that are named."""
    known = {schemas.module: schemas for schemas in load_runtime(quiet=True).event_schemas}
    if unknown := sorted(set(modules) - known.keys()):
        raise CommandFailed(f"No module {' or '.join(unknown)} here; there are: {', '.join(known)}")
    if write and not modules:
        raise CommandFailed("Say whose schemas to write: plugs events schemas MODULE --write")
    chosen = [known[name] for name in modules or known]
    try:
        for file in [file for schemas in chosen for file in schemas.write()] if write else ():
            click.echo(f"Wrote {relative(file)}")
        complaints = [complaint for schemas in chosen for complaint in schemas.complaints()]
    except UnfitSchemas as error:
        complaints = error.sentences
    if complaints:
        raise CommandFailed("\n".join(complaints))
    click.echo(f"{sum(len(schemas.events) for schemas in chosen)} events are as they were promised.")
