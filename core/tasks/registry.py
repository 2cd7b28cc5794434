"""Actors, subscribers, events and schedules: what a module declares, before any broker exists.

`@dramatiq.actor` binds to a global broker at import; ours only describes the function, and the worker makes the
Dramatiq actors when it starts. Importing a module therefore does nothing to the world.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints, overload

import msgspec
from msgspec import Struct

from core.toggles.catalogue import ModuleCatalogue

if TYPE_CHECKING:
    from core.tasks.context import Ctx

type ActorFunction = Callable[..., Awaitable[None]]


class Event(Struct, frozen=True, kw_only=True):
    """Base of domain events. `type` is the stable public name, `version` grows when a field is added."""

    type: ClassVar[str]
    version: ClassVar[int] = 1


class Actor(Struct, frozen=True, kw_only=True):
    """A background job. Enqueue it with `ctx.enqueue(actor, name=value, …)`; it never runs in the request.

    It may be delivered more than once and takes effect once: what it writes commits together with the job's own
    "done". A long actor commits its progress with `ctx.checkpoint()` and starts from there after a crash.
    """

    name: str
    function: ActorFunction
    arguments: type[Struct]
    queue: str = "default"
    event: type[Event] | None = None
    """Set for a subscriber: the event it follows."""


class Schedule(Struct, frozen=True, kw_only=True):
    """Enqueue an actor for every active organization, at a steady interval."""

    actor: Actor
    every: timedelta

    @property
    def name(self) -> str:
        return self.actor.name


@overload
def actor(function: ActorFunction, /) -> Actor: ...
@overload
def actor(*, name: str | None = None, queue: str = "default") -> Callable[[ActorFunction], Actor]: ...
def actor(
    function: ActorFunction | None = None, /, *, name: str | None = None, queue: str = "default"
) -> Actor | Callable[[ActorFunction], Actor]:
    """Make an async function `(ctx, *, …)` an actor. Its annotated arguments are checked when enqueued and when run.

    `queue` keeps slow work apart: each queue has workers of its own to wait for.
    """

    def describe(function: ActorFunction) -> Actor:
        return Actor(name=name or _name_of(function), function=function, arguments=_arguments_of(function), queue=queue)

    return describe if function is None else describe(function)


def subscribe[E: Event](
    event: type[E], *, queue: str = "default"
) -> Callable[[Callable[["Ctx", E], Awaitable[None]]], Actor]:
    """Make an async function `(ctx, event)` follow an event: each emitted one becomes a job of its own."""

    def describe(function: Callable[["Ctx", E], Awaitable[None]]) -> Actor:
        async def deliver(ctx: "Ctx", *, payload: dict[str, Any]) -> None:
            await function(ctx, msgspec.convert(payload, event))

        return Actor(name=_name_of(function), function=deliver, arguments=_Delivery, queue=queue, event=event)

    return describe


class _Delivery(Struct, frozen=True, forbid_unknown_fields=True):
    payload: dict[str, Any]


def _name_of(function: Callable[..., Any]) -> str:
    """`modules.networking.actors.run_import` is `networking.run_import`: stable while code moves between files.

    So is `plugs_rsvp.confirm` `rsvp.confirm`: a module's own distribution calls its package so.
    """
    parts = [part for part in function.__module__.split(".") if part not in {"modules", "actors", "core"}]
    return f"{parts[0].removeprefix('plugs_') if parts else 'core'}.{function.__name__}"


def _arguments_of(function: ActorFunction) -> type[Struct]:
    """Its keyword arguments as a Struct. With their defaults: a job from before one was added still runs."""
    hints = get_type_hints(function)
    fields: list[Any] = []
    for name, parameter in signature(function).parameters.items():
        if name == "ctx":
            continue
        default = () if parameter.default is Parameter.empty else (parameter.default,)
        fields.append((name, hints[name], *default))
    return msgspec.defstruct(
        f"{function.__name__}_arguments", fields, frozen=True, kw_only=True, forbid_unknown_fields=True
    )


class TaskRegistry:
    """All actors and schedules of the running system, by name, and the modules that they belong to."""

    def __init__(
        self,
        actors: Iterable[Actor] = (),
        schedules: Iterable[Schedule] = (),
        *,
        modules: ModuleCatalogue = ModuleCatalogue(),  # noqa: B008 # it can't change
    ) -> None:
        self.modules = modules
        self.actors: dict[str, Actor] = {}
        self.schedules: dict[str, Schedule] = {}
        self._subscribers: dict[str, list[Actor]] = {}
        for found in actors:
            if found.name in self.actors:
                raise ValueError(f"two actors are named {found.name!r}")
            self.actors[found.name] = found
            if found.event is not None:
                self._subscribers.setdefault(found.event.type, []).append(found)
        for schedule in schedules:
            self.schedules[schedule.name] = schedule

    def subscribers_of(self, event: Event) -> list[Actor]:
        return self._subscribers.get(event.type, [])

    @property
    def queues(self) -> set[str]:
        return {found.queue for found in self.actors.values()} | {"default"}
