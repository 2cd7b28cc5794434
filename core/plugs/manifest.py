"""The manifest: reading a module's `Module(…)` tells all that it offers."""

import re
from collections.abc import Sequence

from litestar.types import ControllerRouterHandler
from msgspec import Struct

from core.permissions import Permission
from core.tasks.registry import Actor, Event, Schedule

NAME = re.compile(r"^[a-z][a-z0-9_]{1,38}$")
RESERVED = frozenset(
    "admin audit auth core grants health invitations mailbox members organization organizations permissions pg_catalog "
    "public roles teams users".split()
)
"""Paths, permissions and schemas of the core."""


class ManifestError(Exception):
    """The manifest can't be used; the message says why."""


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
    """Mounted below `/api/v1/<name>`."""
    actors: Sequence[Actor] = ()
    subscribers: Sequence[Actor] = ()
    schedules: Sequence[Schedule] = ()
    hooks: object | None = None
    """A namespace (often a Python module) whose functions are marked with `@hook`; see `core.plugs.hookspecs`."""

    def __post_init__(self) -> None:
        if not NAME.match(self.name) or self.name in RESERVED:
            raise ManifestError(f"{self.name!r} can't be a module's name")
        for permission in self.permissions:
            if not permission.name.startswith(f"{self.name}:"):
                raise ManifestError(f"permission {permission.name!r} must start with {self.name + ':'!r}")
        for event in self.emits:
            if not event.type.startswith(f"{self.name}."):
                raise ManifestError(f"event {event.type!r} must start with {self.name + '.'!r}")
        for actor in (*self.actors, *self.subscribers):
            if not actor.name.startswith(f"{self.name}."):
                raise ManifestError(f"actor {actor.name!r} must start with {self.name + '.'!r}")
        for subscriber in self.subscribers:
            if subscriber.event is None:
                raise ManifestError(f"{subscriber.name!r} is an actor without an event: list it under actors")
