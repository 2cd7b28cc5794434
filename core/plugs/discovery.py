"""Discovery: modules are found by entry point and imported one by one; a bad one is set aside with its reason."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pluggy
import structlog
from msgspec import Struct

from core.db.migrations import MigrationSet
from core.permissions import Permission
from core.plugs import hookspecs
from core.plugs.importing import check_compatibility, load
from core.plugs.manifest import ManifestError, Module
from core.tasks.context import Ctx
from core.tasks.registry import Actor, Schedule
from core.toggles.catalogue import ModuleCatalogue, Provided

log = structlog.get_logger()

GROUP = "plugs.modules"
IMPORT_SECONDS = 10.0
HOOK_SECONDS = 10.0
EVERY = "*"


class BadModule(Exception):
    """Modules were set aside, and the deployment rather stops than serves without them."""


class Plug(Struct, frozen=True, kw_only=True):
    """A module that was found and can serve."""

    module: Module
    package: str
    distribution: str
    version: str
    directory: Path

    @property
    def name(self) -> str:
        return self.module.name

    @property
    def migrations(self) -> MigrationSet | None:
        directory = self.directory / "migrations"
        return MigrationSet(name=self.name, directory=directory) if directory.is_dir() else None


class Quarantined(Struct, frozen=True, kw_only=True):
    """A module that was found and can't serve."""

    name: str
    distribution: str
    reason: str


class Plugs:
    """All modules of this process, those they depend on first."""

    def __init__(self, plugs: Iterable[Plug], quarantined: Iterable[Quarantined] = ()) -> None:
        self.quarantined = {bad.name: bad for bad in quarantined}
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        sound = {plug.name: plug for plug in plugs if self._take_hooks(plug)}
        self.plugs = {plug.name: plug for plug in self._in_order(sound)}

    def __iter__(self) -> Iterator[Plug]:
        return iter(self.plugs.values())

    @property
    def permissions(self) -> list[Permission]:
        return [permission for plug in self.plugs.values() for permission in plug.module.permissions]

    @property
    def actors(self) -> list[Actor]:
        return [a for plug in self.plugs.values() for a in (*plug.module.actors, *plug.module.subscribers)]

    @property
    def schedules(self) -> list[Schedule]:
        return [schedule for plug in self.plugs.values() for schedule in plug.module.schedules]

    def catalogue(self, on_by_default: str = EVERY) -> ModuleCatalogue:
        """`on_by_default` names modules, with commas between them; `*` is every one."""
        names = frozenset(self.plugs)
        wanted = {name.strip() for name in on_by_default.split(",")}
        return ModuleCatalogue(
            names=names,
            on_by_default=names if EVERY in wanted else names & wanted,
            settings={plug.module.settings: plug.name for plug in self if plug.module.settings is not None},
            provided={
                protocol: Provided(plug.name, make) for plug in self for protocol, make in plug.module.provides.items()
            },
        )

    @property
    def migration_sets(self) -> list[MigrationSet]:
        return [found for plug in self.plugs.values() if (found := plug.migrations) is not None]

    def set_aside(self, plug: Plug, reason: str) -> None:
        log.error("module.quarantined", module=plug.name, distribution=plug.distribution, reason=reason)
        self.quarantined[plug.name] = Quarantined(name=plug.name, distribution=plug.distribution, reason=reason)

    def need_all(self) -> None:
        """Raises `BadModule` that names all that were set aside."""
        if self.quarantined:
            reasons = [f"  - {bad.name} ({bad.distribution}): {bad.reason}" for bad in self.quarantined.values()]
            raise BadModule("Modules can't be used:\n" + "\n".join(reasons))

    def _take_hooks(self, plug: Plug) -> bool:
        """Register the module's hooks; a hook that no hookspec knows is a spelling mistake, and sets it aside."""
        if plug.module.hooks is None:
            return True
        self._manager.register(plug.module.hooks, name=plug.name)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            self._manager.unregister(name=plug.name)
            self.set_aside(plug, str(error))
            return False
        return True

    def _in_order(self, sound: dict[str, Plug]) -> list[Plug]:
        """Dependencies first. A module whose requirement is missing, or in a cycle, is set aside, and so are those
        that require it."""
        while True:
            lacking = {
                name: missing
                for name, plug in sound.items()
                if (missing := [required for required in plug.module.requires if required not in sound])
            }
            for name, missing in lacking.items():
                self.set_aside(sound.pop(name), f"requires {', '.join(missing)}, which is not here")
            if lacking:
                continue
            graph = {n: {*p.module.requires, *(o for o in p.module.optional if o in sound)} for n, p in sound.items()}
            try:
                return [sound[name] for name in TopologicalSorter(graph).static_order()]
            except CycleError as error:
                cycle: list[str] = error.args[1]
                for name in set(cycle):
                    self.set_aside(sound.pop(name), f"depends on itself: {' → '.join(reversed(cycle))}")

    def requirements_of(self, name: str) -> list[str]:
        """The modules that it can't do without, and what those require, the first ones first."""
        return [plug.name for plug in self if plug.name in self._closure(name, lambda plug: plug.module.requires)]

    def dependents_of(self, name: str) -> list[str]:
        """The modules that can't do without it, the last ones first."""
        dependents = [plug.name for plug in self if name in self._closure(plug.name, lambda plug: plug.module.requires)]
        return dependents[::-1]

    def _closure(self, name: str, next_of: Callable[[Plug], Iterable[str]]) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            new = set(next_of(self.plugs[waiting.pop()])) - found
            found |= new
            waiting += new
        return found

    async def ask(self, name: str, hook_name: str, **arguments: Any) -> Any:
        """What a hook of one module answers; None where it has none. Raises what it raises, and `TimeoutError`."""
        for owner, function in self._hooks(hook_name):
            if owner == name:
                async with asyncio.timeout(HOOK_SECONDS):
                    return await function(**arguments)
        return None

    def stream(self, name: str, hook_name: str, **arguments: Any) -> list[Any]:
        """What a module's hook returns, for hooks whose answer is gone through; empty where it has none."""
        return [function(**arguments) for owner, function in self._hooks(hook_name) if owner == name]

    async def seed_demo(self, ctx: Ctx) -> None:
        """Let every module add its demo data. Here an error is not contained: half a demo helps nobody."""
        for name, function in self._hooks("seed_demo"):
            if name in ctx.modules.enabled:
                await function(ctx=ctx)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Open every module's lifespan; one that can't be opened is logged and the process serves without it."""
        async with AsyncExitStack() as stack:
            for name, function in self._hooks("lifespan"):
                try:
                    await stack.enter_async_context(_contained(name, function))
                except Exception as error:
                    log.exception("hook.failed", module=name, hook="lifespan", exc_info=error)
            yield

    def _hooks(self, hook_name: str) -> list[tuple[str, Callable[..., Any]]]:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook_name)
        by_name = {implementation.plugin_name: implementation.function for implementation in caller.get_hookimpls()}
        return [(name, by_name[name]) for name in self.plugs if name in by_name]


@asynccontextmanager
async def _contained(name: str, function: Callable[[], AbstractAsyncContextManager[None]]) -> AsyncGenerator[None]:
    """One module's lifespan: so long to open, so long to close, and what it raises at its end harms no other's."""
    opened = function()
    async with asyncio.timeout(HOOK_SECONDS):
        await opened.__aenter__()
    try:
        yield
    finally:
        try:
            async with asyncio.timeout(HOOK_SECONDS):
                await opened.__aexit__(None, None, None)
        except Exception as error:
            log.exception("hook.failed", module=name, hook="lifespan", exc_info=error)


def discover(
    points: Iterable[EntryPoint] | None = None, *, import_seconds: float = IMPORT_SECONDS, abort: bool = False
) -> Plugs:
    """Find every installed module. Importing them does no I/O; whatever one raises, the others serve.

    With `abort`, raises `BadModule` that names all that were set aside.
    """
    plugs = _found(points, import_seconds)
    if abort:
        plugs.need_all()
    return plugs


def _found(points: Iterable[EntryPoint] | None, import_seconds: float) -> Plugs:
    found: dict[str, Plug] = {}
    bad: list[Quarantined] = []
    for point in sorted(entry_points(group=GROUP) if points is None else points, key=lambda point: point.name):
        distribution = point.dist.name if point.dist else "unknown"
        try:
            plug = _load(point, import_seconds)
            if plug.name in found:
                raise ManifestError(f"{found[plug.name].distribution} already provides a module of this name")
            found[plug.name] = plug
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module that exits at import must not take the process with it
            reason = f"{type(error).__name__}: {error}"
            log.error("module.quarantined", module=point.name, distribution=distribution, reason=reason)  # noqa: TRY400
            bad.append(Quarantined(name=point.name, distribution=distribution, reason=reason))
    return Plugs(found.values(), bad)


def _load(point: EntryPoint, import_seconds: float) -> Plug:
    check_compatibility(point.dist)
    module = load(point, seconds=import_seconds)
    if not isinstance(module, Module):
        raise ManifestError(f"{point.value} is not a Module")
    if module.name != point.name:
        raise ManifestError(f"the entry point is named {point.name!r} and the module {module.name!r}")
    file = import_module(point.module).__file__
    if file is None:
        raise ManifestError(f"{point.module} has no file")
    return Plug(
        module=module,
        package=point.module,
        distribution=point.dist.name if point.dist else "unknown",
        version=point.dist.version if point.dist else "0",
        directory=Path(file).parent,
    )
