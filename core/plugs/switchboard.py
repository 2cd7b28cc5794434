"""The switchboard: turns a module on or off for one organization, with all that hangs together, in one transaction.

The closure of requirements (or of dependents), the settings, the module's own hook, the waiting jobs, the state and
the announcement to every process commit together or not at all. Who looks a switch up before making it gets the very
plan that making it follows.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import select

from core import clock
from core.db.announcements import announce
from core.db.database import Database
from core.db.pages import CursorSigner
from core.errors import Conflict, NotFound, PlugsError
from core.plugs.discovery import Plugs
from core.principal import Principal, PrincipalKind
from core.tasks.context import Ctx
from core.tasks.holding import hold_jobs, lock_modules, release_jobs
from core.tasks.registry import Event, TaskRegistry
from core.toggles.catalogue import TenantModules
from core.toggles.models import ModuleState, OrganizationModule
from core.toggles.states import TOPIC

log = structlog.get_logger()

OFF = (ModuleState.SUSPENDED, ModuleState.DISABLED)
IN_USE = (ModuleState.ENABLED, ModuleState.SUSPENDED)
HOOK_FAILED = "module-hook-failed"

type Rows = dict[str, OrganizationModule]


class ModuleSwitched(Event, frozen=True, kw_only=True):
    """An organization's module is in another state."""

    type = "core.module_switched"
    module: str
    before: ModuleState
    after: ModuleState


class Step(Struct, frozen=True, kw_only=True):
    """What a switch does to one module."""

    module: str
    before: ModuleState
    after: ModuleState


class Switch(Struct, frozen=True, kw_only=True):
    """What is asked for."""

    module: str
    to: ModuleState
    settings: Struct | None = None
    """Of the manifest's type, for a module that is enabled; None leaves what was set before."""
    cascade: bool = False
    """Whether what can't do without the module goes off with it; else such a switch is refused."""
    reason: str | None = None


class Switchboard:
    def __init__(
        self, *, database: Database, plugs: Plugs, registry: TaskRegistry, cursors: CursorSigner, retention: timedelta
    ) -> None:
        """`retention` is how long the data of a disabled module are kept at the least."""
        self._database = database
        self._plugs = plugs
        self._registry = registry
        self._cursors = cursors
        self._retention = retention

    async def preview(self, organization_id: UUID, switch: Switch) -> list[Step]:
        """The steps that `switch` would make, in their order. Raises what it would raise, but for the hooks' errors."""
        async with self.acting(_operator(organization_id)) as ctx:
            return self._plan(await _rows(ctx), switch)

    async def switch(self, principal: Principal, switch: Switch) -> list[Step]:
        """Switch a module of the principal's organization. Returns what was done; nothing where it is so already.

        Raises `NotFound` for a module that isn't installed, and `Conflict` where it can't be switched so: it was never
        in use, a requirement isn't installed, another module needs it, or its own hook refuses.
        """
        async with self.acting(principal) as ctx:
            await lock_modules(ctx.db, ctx.organization_id)
            rows = await _rows(ctx)
            steps = self._plan(rows, switch)
            for step in steps:
                await self._take(ctx, rows, step, switch)
                ctx.emit(ModuleSwitched(module=step.module, before=step.before, after=step.after))
            if not steps and switch.settings is not None:
                await self._put_settings(ctx, rows[switch.module], switch.settings)
            await announce(ctx.db, TOPIC, str(ctx.organization_id))
            await ctx.commit()
        for step in steps:
            log.info("module.switched", organization_id=str(principal.organization_id), **msgspec.to_builtins(step))
        return steps

    async def settle(self, organization_id: UUID, modules: Sequence[str]) -> None:
        """Enable modules that nobody has decided about. One that refuses stays off, with its reason, for an operator
        to look at; it isn't asked again."""
        for name in modules:
            principal = _operator(organization_id)
            try:
                await self._settle_one(principal, name)
            except PlugsError as error:
                log.warning("module.not_enabled", module=name, organization_id=str(organization_id), error=str(error))
                async with self.acting(principal) as ctx:
                    await lock_modules(ctx.db, organization_id)
                    rows = await _rows(ctx)
                    if name not in rows:
                        ctx.db.add(OrganizationModule(module=name, reason=error.detail))
                        await ctx.commit()

    async def _settle_one(self, principal: Principal, name: str) -> None:
        async with self.acting(principal) as ctx:
            await lock_modules(ctx.db, ctx.organization_id)
            rows = await _rows(ctx)
            if name in rows:
                return
            switch = Switch(module=name, to=ModuleState.ENABLED)
            steps = self._plan(rows, switch)
            for step in steps:
                await self._take(ctx, rows, step, switch)
            if any(step.before is not ModuleState.AVAILABLE for step in steps):  # else nobody knows of it yet
                await announce(ctx.db, TOPIC, str(ctx.organization_id))
            await ctx.commit()

    async def set_settings(self, ctx: Ctx, row: OrganizationModule, settings: Struct) -> None:
        """Give a module other settings, in the transaction of `ctx`. Raises what the module's own check raises."""
        if await self._put_settings(ctx, row, settings):
            await announce(ctx.db, TOPIC, str(ctx.organization_id))

    async def _put_settings(self, ctx: Ctx, row: OrganizationModule, settings: Struct) -> bool:
        """Whether they are others than before. Nobody is told yet."""
        await self._plugs.ask(row.module, "validate_settings", ctx=ctx, settings=settings)
        stored = msgspec.to_builtins(settings)
        if stored == row.settings:
            return False
        row.settings, row.changed_by, row.changed_at = stored, ctx.user_id, clock.now()
        await ctx.db.flush()
        return True

    def _plan(self, rows: Mapping[str, OrganizationModule], switch: Switch) -> list[Step]:
        name, to = switch.module, switch.to
        states = {module: ModuleState(row.state) for module, row in rows.items()}
        before = states.get(name, ModuleState.AVAILABLE)
        if name not in self._plugs.plugs and (to is ModuleState.ENABLED or name not in states):
            raise self._missing(name)
        if before is to:
            return []
        if to is ModuleState.ENABLED:
            affected = [*self._plugs.requirements_of(name), name]
            affected = [module for module in affected if states.get(module) is not ModuleState.ENABLED]
        elif to in OFF and before in IN_USE and (to, before) != (ModuleState.SUSPENDED, ModuleState.DISABLED):
            affected = [*self._in_the_way(name, to, states), name]
            if len(affected) > 1 and not switch.cascade:
                needing = ", ".join(affected[:-1])
                raise Conflict(f"{needing} can't do without {name}", code="module-needed")
        else:
            raise Conflict(f"{name} is {before} and can't be {to}", code="module-not-in-use")
        return [Step(module=m, before=states.get(m, ModuleState.AVAILABLE), after=to) for m in affected]

    def _in_the_way(self, name: str, to: ModuleState, states: Mapping[str, ModuleState]) -> list[str]:
        """What needs the module and is further on than it will be, the last ones first."""
        if name not in self._plugs.plugs:
            return []
        further = (ModuleState.ENABLED,) if to is ModuleState.SUSPENDED else IN_USE
        return [dependent for dependent in self._plugs.dependents_of(name) if states.get(dependent) in further]

    def _missing(self, name: str) -> PlugsError:
        if name in self._plugs.quarantined:
            return Conflict(f"{name} can't be used: {self._plugs.quarantined[name].reason}", code="module-set-aside")
        return NotFound(f"No module {name} is installed", code="module-not-found")

    async def _take(self, ctx: Ctx, rows: Rows, step: Step, switch: Switch) -> None:
        if step.module not in rows:
            rows[step.module] = OrganizationModule(module=step.module, settings={})
            ctx.db.add(rows[step.module])
        row = rows[step.module]
        row.state, row.changed_by, row.changed_at = step.after.value, ctx.user_id, clock.now()
        row.reason = switch.reason
        row.retained_until = clock.now() + self._retention if step.after is ModuleState.DISABLED else None
        if step.after is ModuleState.ENABLED:
            await self._enable(ctx, rows, step, switch)
            await release_jobs(ctx.db, ctx.organization_id, [step.module])
        else:
            await ctx.db.flush()
            ctx.modules = _modules_of(rows)
            if step.after is ModuleState.DISABLED and step.module in self._plugs.plugs:
                await self._say_goodbye(ctx, step.module)
            await hold_jobs(ctx.db, ctx.organization_id, [step.module])

    async def _enable(self, ctx: Ctx, rows: Rows, step: Step, switch: Switch) -> None:
        row, kind = rows[step.module], self._plugs.plugs[step.module].module.settings
        asked = switch.settings if step.module == switch.module else None
        if asked is not None:
            await self._put_settings(ctx, row, asked)
        elif kind is not None and not row.settings:
            await self._put_settings(ctx, row, kind())
        ctx.modules = _modules_of(rows)
        if step.before is ModuleState.SUSPENDED:
            return
        try:
            await self._plugs.ask(step.module, "tenant_enabled", ctx=ctx)
            await ctx.db.flush()
        except PlugsError:
            raise
        except Exception as error:
            log.exception("hook.failed", module=step.module, hook="tenant_enabled", exc_info=error)
            raise Conflict(f"{step.module} could not be enabled: {type(error).__name__}", code=HOOK_FAILED) from error

    async def _say_goodbye(self, ctx: Ctx, module: str) -> None:
        """What the hook wrote before it failed is undone; the switch goes on."""
        try:
            async with ctx.db.begin_nested():
                await self._plugs.ask(module, "tenant_disabled", ctx=ctx)
        except Exception as error:
            log.exception("hook.failed", module=module, hook="tenant_disabled", exc_info=error)

    @asynccontextmanager
    async def acting(self, principal: Principal) -> AsyncGenerator[Ctx]:
        """A transaction in the principal's organization; it is rolled back unless it was committed."""
        ctx = Ctx(
            principal=principal,
            database=self._database,
            registry=self._registry,
            cursors=self._cursors,
            modules=TenantModules(),
        )
        try:
            yield ctx
        finally:
            await ctx.close()


def _operator(organization_id: UUID) -> Principal:
    return Principal(kind=PrincipalKind.OPERATOR, organization_id=organization_id)


async def _rows(ctx: Ctx) -> Rows:
    found = await ctx.db.scalars(
        select(OrganizationModule).where(OrganizationModule.organization_id == ctx.organization_id)
    )
    return {row.module: row for row in found}


def _modules_of(rows: Rows) -> TenantModules:
    """What the organization will have once this commits: hooks find the modules that were enabled before theirs."""
    return TenantModules(
        enabled=frozenset(name for name, row in rows.items() if row.state == ModuleState.ENABLED),
        suspended=frozenset(name for name, row in rows.items() if row.state == ModuleState.SUSPENDED),
        settings={name: row.settings for name, row in rows.items()},
    )
