"""Commands that tell: modules and the OpenAPI document. They alone, of the short ones, need the whole application."""

from pathlib import Path

import click

from core.cli.common import load_runtime


def list_modules() -> None:
    from core.app import create_app  # it finds out whose routes can't be served

    runtime = load_runtime(quiet=True)
    create_app(runtime)
    plugs = runtime.plugs
    for plug in plugs:
        if plug.name in plugs.quarantined:
            continue
        click.echo(f"{plug.name:<16} {plug.version:<10} {plug.distribution:<20} {plug.module.title}")
    for bad in plugs.quarantined.values():
        click.echo(f"{bad.name:<16} {'set aside':<10} {bad.distribution:<20} {bad.reason}")


def print_openapi(output: str | None) -> None:
    from core.app import create_app
    from core.http.openapi import document_bytes

    document = document_bytes(create_app(load_runtime(quiet=True)).litestar)
    if output is None:
        click.echo(document)
    else:
        Path(output).write_bytes(document)
