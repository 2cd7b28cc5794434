"""The manifest: reading a module's `Module(…)` tells all that it offers."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from keyword import iskeyword
from types import MappingProxyType
from typing import Any

import msgspec
from litestar import Router
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ControllerRouterHandler
from msgspec import Struct
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from core.permissions import Permission
from core.tasks.registry import Actor, Event, Schedule

NAME = re.compile(r"^[a-z][a-z0-9_]{1,38}\Z")
EVENT_TYPE = re.compile(r"^[a-z0-9_]+(\.[a-z0-9_]+)+\Z")
RESERVED = frozenset(
    "admin audit auth core grants health information_schema invitations mailbox members organization organizations "
    "permissions modules plugs public roles teams users".split()
)
"""Paths, permissions and schemas of the core and of PostgreSQL."""


NOTHING: Mapping[Any, Any] = MappingProxyType({})


class ManifestError(Exception):
    """The manifest can't be used; the message says why."""


def check_name(name: str) -> None:
    """Raises `ManifestError` that says why a module can't have this name.

    It becomes a schema, a package and a path as it is, so words that PostgreSQL or Python keeps for itself are out.
    """
    if not NAME.match(name):
        hint = f"; {name.replace('-', '_')!r} can" if NAME.match(name.replace("-", "_")) else ""
        raise ManifestError(f"{name!r} can't be a module's name: it must match {NAME.pattern}{hint}")
    if name in RESERVED:
        raise ManifestError(f"{name!r} can't be a module's name: the core has it")
    if name in RESERVED_WORDS or name.startswith("pg_"):
        raise ManifestError(f"{name!r} can't be a module's name: PostgreSQL keeps it for itself")
    if iskeyword(name):
        raise ManifestError(f"{name!r} can't be a module's name: it is a keyword of Python")


class Module(Struct, frozen=True, kw_only=True):
    """One feature module. Everything but its name and title is optional."""

    name: str
    """Prefix of its routes, permissions, events and actors, and its database schema: `[a-z][a-z0-9_]{1,38}`."""
    title: str
    permissions: Sequence[Permission] = ()
    emits: Sequence[type[Event]] = ()
    requires: Sequence[str] = ()
    """Modules without which this one can't run."""
    optional: Sequence[str] = ()
    """Modules that this one makes use of where they are present."""
    routes: Sequence[ControllerRouterHandler] = ()
    """Mounted below `/api/v1/<name>`; handlers of HTTP, controllers and routers of them, and no other kind."""
    actors: Sequence[Actor] = ()
    subscribers: Sequence[Actor] = ()
    schedules: Sequence[Schedule] = ()
    settings: type[Struct] | None = None
    """What each organization can set: a frozen Struct whose every field has a default. `ctx.settings(…)` reads it."""
    provides: Mapping[type, Callable[[Any], object]] = NOTHING
    """Protocols of its contract, and a function of `ctx` that makes what fulfils each; others `ctx.use(…)` it."""
    hooks: object | None = None
    """A namespace (often a Python module) whose functions are marked with `@hook`; see `core.plugs.hookspecs`."""

    def __post_init__(self) -> None:
        check_name(self.name)
        for route in self.routes:
            _check_route(route)
        for event in self.emits:
            _check_event(event)
        self._own("permission", ":", (permission.name for permission in self.permissions))
        self._own("event", ".", (event.type for event in self.emits))
        self._own("actor", ".", (actor.name for actor in (*self.actors, *self.subscribers)))
        for subscriber in self.subscribers:
            if subscriber.event is None:
                raise ManifestError(f"{subscriber.name!r} is an actor without an event: list it under actors")
        for schedule in self.schedules:
            if schedule.actor not in self.actors:
                raise ManifestError(f"{schedule.name!r} has a schedule and is not listed under actors")
        if self.name in (*self.requires, *self.optional):
            raise ManifestError("a module can't depend on itself")
        if self.settings is not None:
            _check_settings(self.settings)

    def _own(self, what: str, separator: str, names: Iterable[str]) -> None:
        """Whatever a module declares bears its name, and nothing is declared twice."""
        for name, times in Counter(names).items():
            if not name.startswith(f"{self.name}{separator}"):
                raise ManifestError(f"{what} {name!r} must start with {self.name + separator!r}")
            if times > 1:
                raise ManifestError(f"{what} {name!r} is declared {times} times")


def _check_route(given: ControllerRouterHandler) -> None:
    """Who asks, what they may and how often is found out of HTTP alone: a WebSocket, or an ASGI application that is
    mounted, would be open to everybody."""
    match given:
        case Router():
            found: Iterable[object] = given.routes
        case type():
            found = (getattr(given, name) for name in dir(given))
        case _:
            found = (given,)
    for each in found:
        is_http = isinstance(each, HTTPRouteHandler | HTTPRoute)
        if isinstance(each, BaseRouteHandler | BaseRoute) and not is_http:
            raise ManifestError(f"{each} is no route of HTTP")


def _check_event(event: type[Event]) -> None:
    if not isinstance(event.type, str) or not isinstance(event.version, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ManifestError(f"{event.__name__}: `type` and `version` are the event's own: call a field otherwise")
    if not EVENT_TYPE.match(event.type) or event.version < 1:
        raise ManifestError(
            f"{event.type!r}, version {event.version}: an event's type is lower-case words with dots between them, and "
            "its versions count from 1"
        )


def _check_settings(settings: type[Struct]) -> None:
    if missing := [field.name for field in msgspec.structs.fields(settings) if field.required]:
        raise ManifestError(f"settings need a default for {', '.join(missing)}")
    if not settings.__struct_config__.frozen or not settings.__struct_config__.forbid_unknown_fields:
        raise ManifestError("settings must be a Struct with frozen=True, kw_only=True, forbid_unknown_fields=True")
