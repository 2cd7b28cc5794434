"""The matrix of roles and routes: who may call which route, read off the guards of the running application."""

from pathlib import Path
from typing import Any, cast

import click
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from core.app import create_app
from core.cli.common import load_runtime
from core.http.access import signed_in
from core.http.routers import handlers_in
from core.permissions import Permission, Role

HEAD = """# Who may call which route

Made by `plugs permissions matrix --output docs/permissions.md` from the guards of the running application; a test
compares the two. Custom roles and grants for a team add to what a system role holds; a grant for a team is enough where
the permission is followed by "(team)".

"""


class Access(Struct, frozen=True, kw_only=True):
    """Who may call a route."""

    route: str
    needs: str
    roles: frozenset[Role]


def access_to_routes(app: Litestar) -> list[Access]:
    """By route. Raises `LookupError` for one that neither is public nor says who may call it."""
    accesses = [_access_to(route, handler) for route, handler in handlers_in(app.routes)]
    return sorted(accesses, key=lambda access: access.route)


def _access_to(route: str, handler: HTTPRouteHandler) -> Access:
    if handler.opt.get("public"):
        return Access(route=route, needs="nobody signed in", roles=frozenset(Role))
    guards: list[Any] = [getattr(guard, "func", guard) for guard in cast("list[Any]", handler.resolve_guards())]
    for guard in guards:
        platform: Permission | None = getattr(guard, "platform", None)
        if platform is not None:
            return Access(route=route, needs=f"an operator, `{platform.name}`", roles=frozenset())
        permission: Permission | None = getattr(guard, "permission", None)
        if permission is not None:
            least = permission.least_role.rank
            note = " (team)" if getattr(guard, "team", None) else ""
            allowed = frozenset(role for role in Role if role.rank >= least)
            return Access(route=route, needs=f"`{permission.name}`{note}", roles=allowed)
    if signed_in in guards:
        return Access(route=route, needs="a person who signed in", roles=frozenset(Role))
    raise LookupError(f"{route}: it neither is public nor says who may call it")


def matrix_text(app: Litestar) -> str:
    names = [role.value for role in Role]
    lines = [f"| route | needs | {' | '.join(names)} |", f"|---|---|{':-:|' * len(names)}"]
    for access in access_to_routes(app):
        marks = " | ".join("✓" if role in access.roles else "" for role in Role)
        lines.append(f"| `{access.route}` | {access.needs} | {marks} |")
    return HEAD + "\n".join(lines) + "\n"


def print_matrix(output: str | None) -> None:
    text = matrix_text(create_app(load_runtime(quiet=True)).litestar)
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).write_text(text)
