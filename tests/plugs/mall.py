"""Two modules that exist for these tests alone, `shop` which can't do without `stock`, in an application of its own."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct
from sqlalchemy import select

from core.app import Application
from core.plugs.discovery import Plug, Plugs
from core.plugs.switchboard import Step, Switch, Switchboard
from core.principal import Principal, PrincipalKind
from core.sdk import Ctx, Event, Invalid, Module, Permission, Schedule, actor, get, hook, requires, subscribe
from core.tasks.jobs import JobRunner
from core.tasks.models import DomainEvent, OutboxJob
from core.testing.tenants import Tenant
from core.toggles.models import ModuleState

READ = Permission("shop:read", "Look around")


class Shelves(Protocol):
    async def count(self) -> int: ...


class Sold(Event, frozen=True, kw_only=True):
    type = "shop.sold"
    number: int


class Counted(Event, frozen=True, kw_only=True):
    """The trace that every actor here leaves."""

    type = "stock.counted"
    what: str


class ShopSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    currency: str = "EUR"
    discount: int = 0


class _Shelves:
    def __init__(self, ctx: Ctx) -> None:
        self.ctx = ctx

    async def count(self) -> int:
        return 3


@actor(name="stock.count_all")
async def count_all(ctx: Ctx, *, what: str = "everything") -> None:
    ctx.emit(Counted(what=what))


@actor(name="stock.count_slowly")
async def count_slowly(ctx: Ctx, *, steps: int) -> None:
    """Counts on from what it has committed; between its steps whoever wants to may switch the module off."""
    for step in range(await _steps_done(ctx), steps):
        ctx.emit(Counted(what=f"step {step}"))
        await ctx.checkpoint()
        await BETWEEN_STEPS.call(step)


async def _steps_done(ctx: Ctx) -> int:
    payloads = await ctx.db.scalars(
        select(DomainEvent.payload).where(
            DomainEvent.organization_id == ctx.organization_id, DomainEvent.type == Counted.type
        )
    )
    return sum(payload["what"].startswith("step") for payload in payloads)


class _Between:
    """What a test does between the steps of the slow actor."""

    def __init__(self) -> None:
        self.then: dict[int, Any] = {}

    async def call(self, step: int) -> None:
        if step in self.then:
            await self.then.pop(step)()


BETWEEN_STEPS = _Between()


@subscribe(Sold)
async def take_away(ctx: Ctx, event: Sold) -> None:
    ctx.emit(Counted(what=f"sold {event.number}"))


take_away_by_stock = type(take_away)(
    name="stock.take_away", function=take_away.function, arguments=take_away.arguments, event=Sold
)


@get("/window", operation_id="look_at_window", guards=[requires(READ)])
async def window(ctx: Ctx) -> dict[str, Any]:
    shelves = ctx.use(Shelves)
    return {"currency": ctx.settings(ShopSettings).currency, "items": await shelves.count() if shelves else None}


class Asked:
    """What the hooks were asked, and what they shall do."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.raises: dict[str, Exception] = {}

    def note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.raises:
            raise self.raises[call]


def hooks_of(name: str, asked: Asked) -> SimpleNamespace:
    @hook
    async def tenant_enabled(ctx: Ctx) -> None:
        ctx.emit(Counted(what=f"{name} enabled, with {sorted(ctx.modules.enabled & {'shop', 'stock'})}"))
        asked.note(f"{name} enabled")

    @hook
    async def tenant_disabled(ctx: Ctx) -> None:
        ctx.emit(Counted(what=f"{name} disabled"))
        await ctx.db.flush()
        asked.note(f"{name} disabled")

    @hook
    async def validate_settings(ctx: Ctx, settings: Any) -> None:
        if getattr(settings, "currency", "") == "XXX":
            raise Invalid("That is no currency", code="no-currency")

    return SimpleNamespace(
        tenant_enabled=tenant_enabled, tenant_disabled=tenant_disabled, validate_settings=validate_settings
    )


def make_plugs(asked: Asked) -> Plugs:
    stock = Module(
        name="stock",
        title="Stock",
        emits=[Counted],
        actors=[count_all, count_slowly],
        subscribers=[take_away_by_stock],
        schedules=[Schedule(actor=count_all, every=timedelta(hours=1))],
        provides={Shelves: _Shelves},
        hooks=hooks_of("stock", asked),
    )
    shop = Module(
        name="shop",
        title="Shop",
        permissions=[READ],
        emits=[Sold],
        requires=["stock"],
        routes=[window],
        settings=ShopSettings,
        hooks=hooks_of("shop", asked),
    )
    return Plugs(
        Plug(module=module, package="tests", distribution="tests", version="1", directory=Path("/nowhere"))
        for module in (shop, stock)
    )


class Mall:
    """The application with the two modules, and one organization in it that has neither."""

    def __init__(self, application: Application, tenant: Tenant, asked: Asked) -> None:
        self.application = application
        self.tenant = tenant
        self.asked = asked
        self.runtime = application.runtime

    @property
    def id(self) -> UUID:
        return self.tenant.organization_id

    @property
    def switchboard(self) -> Switchboard:
        return self.application.litestar.state.switchboard

    async def switch(self, module: str, to: ModuleState, **more: Any) -> list[Step]:
        """Returns when this process has heard of it."""
        principal = Principal(kind=PrincipalKind.OPERATOR, organization_id=self.id)
        steps = await self.switchboard.switch(principal, Switch(module=module, to=to, **more))
        self.application.litestar.state.services.modules.forget(str(self.id))
        return steps

    async def enable(self, module: str = "shop", **more: Any) -> list[Step]:
        return await self.switch(module, ModuleState.ENABLED, **more)

    async def suspend(self, module: str = "stock", **more: Any) -> list[Step]:
        return await self.switch(module, ModuleState.SUSPENDED, **more)

    async def disable(self, module: str = "stock", **more: Any) -> list[Step]:
        return await self.switch(module, ModuleState.DISABLED, **more)

    async def ctx(self) -> Ctx:
        """As a request would have it now."""
        ctx = self.tenant.ctx()
        ctx.modules = await self.application.litestar.state.services.modules.of(self.id)
        return ctx

    async def enqueue(self, job: Any, **arguments: Any) -> UUID:
        ctx = await self.ctx()
        job_id = ctx.enqueue(job, **arguments)
        await ctx.commit()
        await ctx.close()
        return job_id

    async def sell(self, number: int) -> None:
        ctx = await self.ctx()
        ctx.emit(Sold(number=number))
        await ctx.commit()
        await ctx.close()

    async def run(self, job_id: UUID) -> None:
        runner = JobRunner(
            database=self.tenant.database,
            registry=self.runtime.registry,
            cursors=self.runtime.cursors,
            modules=self.application.litestar.state.services.modules,
            lease_seconds=2.0,
        )
        await runner.run(self.id, job_id)

    async def job(self, job_id: UUID) -> OutboxJob:
        async with self.tenant.database.system() as system:
            return (await system.scalars(select(OutboxJob).where(OutboxJob.id == job_id))).one()

    async def counted(self) -> list[str]:
        async with self.tenant.database.system() as system:
            payloads = await system.scalars(
                select(DomainEvent.payload)
                .where(DomainEvent.organization_id == self.id, DomainEvent.type == Counted.type)
                .order_by(DomainEvent.xid, DomainEvent.sequence)
            )
            return [payload["what"] for payload in payloads]
