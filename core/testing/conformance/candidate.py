"""The module under judgement, and the bench it is judged on: an application that runs it, and a database to break."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from importlib import import_module
from pkgutil import walk_packages
from types import MappingProxyType, ModuleType
from uuid import UUID

from litestar.handlers import HTTPRouteHandler
from msgspec import Struct
from sqlalchemy import Table

from core.app import Application
from core.db.database import Database, connect
from core.db.tenancy import TenantConnection
from core.http.routers import handlers_in
from core.plugs.discovery import Plug, Plugs
from core.plugs.switchboard import Step, Switch, Switchboard
from core.principal import Principal, PrincipalKind
from core.runtime import Runtime
from core.tasks.registry import Actor
from core.testing.fillings import Filling
from core.testing.rows import tenant_tables
from core.testing.tenants import Tenant, make_tenant
from core.toggles.models import ModuleState

type Rule = Callable[["Candidate"], Awaitable[Sequence[str]]]
"""Returns a sentence for each breach; none where the module keeps the rule."""

NOT_CODE = ("migrations", "tests")


class Allowances(Struct, frozen=True, kw_only=True):
    """What a module's author says of it that can't be told from the code."""

    fillings: Mapping[str, Filling] = MappingProxyType({})
    """How to call a route or a job, by operation id or actor name, where the types don't say enough."""
    not_personal: frozenset[str] = frozenset()
    """Columns (`answers.email_kind`) that sound personal and aren't."""
    definer_functions: frozenset[str] = frozenset()
    """Functions (`rsvp.find(text)`) that see past row security, and carry the tenant themselves."""


class NotThere(LookupError):
    """There is no such module, or it was set aside; the message says why."""


class Bench:
    """What all modules of one run are judged on."""

    def __init__(self, *, application: Application, scratch: Runtime) -> None:
        """`scratch` is on a migrated database in which nobody serves."""
        self.application = application
        self.scratch = scratch
        self._known: dict[str, Candidate] = {}

    def candidate(self, name: str, allowances: Allowances) -> "Candidate":
        """Raises `NotThere`."""
        plugs = self.application.runtime.plugs
        if name in plugs.quarantined:
            raise NotThere(f"{name} was set aside: {plugs.quarantined[name].reason}")
        if name not in plugs.plugs:
            raise NotThere(f"no module {name!r} is installed: is its entry point in the group plugs.modules?")
        if name not in self._known:
            self._known[name] = Candidate(self, plugs.plugs[name], allowances)
        return self._known[name]


class Candidate:
    """One module, and what the rules need to know of it."""

    def __init__(self, bench: Bench, plug: Plug, allowances: Allowances) -> None:
        self.plug = plug
        self.application = bench.application
        self.scratch = bench.scratch
        self.allowances = allowances
        self._tenants: list[Tenant] = []
        self._states: dict[UUID, ModuleState] = {}
        """By organization, so far as it was switched here."""

    @property
    def name(self) -> str:
        return self.plug.name

    @property
    def runtime(self) -> Runtime:
        return self.application.runtime

    @property
    def database(self) -> Database:
        return self.application.litestar.state.services.database

    @property
    def switchboard(self) -> Switchboard:
        return self.application.litestar.state.switchboard

    @property
    def tables(self) -> list[Table]:
        """Its tenant tables, those that are referred to first."""
        return [table for table in tenant_tables() if table.schema == self.name]

    def tables_for(self, filling: Filling) -> list[Table]:
        """Its own tables, and those of others that a filling asks for rows of."""
        own = self.tables
        return own + [table for table in tenant_tables() if table.fullname in filling.rows and table not in own]

    @property
    def jobs(self) -> list[Actor]:
        return [*self.plug.module.actors, *self.plug.module.subscribers]

    @cached_property
    def company(self) -> Plugs:
        """The module, and those that it can't do without."""
        needed = {self.name, *self.runtime.plugs.requirements_of(self.name)}
        return Plugs(plug for plug in self.runtime.plugs if plug.name in needed)

    @cached_property
    def routes(self) -> dict[str, HTTPRouteHandler]:
        """By method and path."""
        below = f"/api/v1/{self.name}/"
        found = handlers_in(self.application.litestar.routes)
        return {route: handler for route, handler in found if f"{route.split(' ')[1]}/".startswith(below)}

    @cached_property
    def files(self) -> list[ModuleType]:
        """Every file of its package, imported; what isn't code of the running module is left out."""
        package = import_module(self.plug.package)
        below = walk_packages(getattr(package, "__path__", ()), f"{package.__name__}.")
        return [package, *(import_module(info.name) for info in below if not set(info.name.split(".")) & set(NOT_CODE))]

    def defined[T](self, kind: type[T]) -> Iterator[tuple[str, T]]:
        """Whatever of this kind has a name in one of its files, once each."""
        seen: set[int] = set()
        for file in self.files:
            for name, value in vars(file).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{file.__name__}.{name}", value

    async def tenants(self) -> tuple[Tenant, Tenant]:
        """Two organizations that have the module on. They are the same for every rule."""
        while len(self._tenants) < 2:
            self._tenants.append(await make_tenant(self.application))
        for tenant in self._tenants:
            if self._states.get(tenant.organization_id) is not ModuleState.ENABLED:
                await self.switch(tenant, ModuleState.ENABLED)
        return self._tenants[0], self._tenants[1]

    async def switch(self, tenant: Tenant, to: ModuleState, board: Switchboard | None = None) -> list[Step]:
        """Switch the module for an organization, with what needs it. This process has heard of it at the return.

        It is enabled with the settings that it has by default, so that its own check is asked each time.
        """
        principal = Principal(kind=PrincipalKind.OPERATOR, organization_id=tenant.organization_id)
        is_on, kind = to is ModuleState.ENABLED, self.plug.module.settings
        settings = kind() if is_on and kind is not None else None
        switch = Switch(module=self.name, to=to, cascade=not is_on, settings=settings)
        self._states.pop(tenant.organization_id, None)
        try:
            steps = await (board or self.switchboard).switch(principal, switch)
            self._states[tenant.organization_id] = to
            return steps
        finally:
            self.application.litestar.state.services.modules.forget(str(tenant.organization_id))


@asynccontextmanager
async def looking(runtime: Runtime) -> AsyncGenerator[TenantConnection]:
    """A connection of the login that migrates: it sees what there is."""
    connection = await connect(runtime.settings.owner_url, role=None, name="plugs:conformance")
    try:
        yield connection
    finally:
        await connection.close()


def qualified(tables: Iterable[Table]) -> set[str]:
    return {table.fullname for table in tables}
