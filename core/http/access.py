"""From a request to its `Ctx`: whoever asks, for which organization, in one transaction that ends before the answer."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from msgspec import Struct

from core.db.database import Database
from core.db.pages import CursorSigner
from core.db.tenancy import Acting, acting
from core.errors import Forbidden, NotFound, Unauthenticated
from core.http.addresses import address_of
from core.http.authentication import Authenticator
from core.http.committing import CommittingSend
from core.http.idempotency import IdempotencyKeys
from core.http.layers import Layer
from core.http.methods import SAFE
from core.http.rate_limits import RateLimits
from core.permissions import Permission, authorize
from core.principal import Principal, PrincipalKind
from core.tasks.broker import Bell
from core.tasks.context import Ctx
from core.tasks.registry import TaskRegistry
from core.toggles.catalogue import TenantModules
from core.toggles.states import ModuleStates

CTX = "ctx"
MODULE = "module"
"""In a handler's `opt`: the module that it belongs to."""
IMPERSONATED = "impersonated"
"""In the `opt` of a handler about one's own account: it is there for whoever acts in somebody's place, too."""

type RouteGuard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Coroutine[Any, Any, None]]


class Services(Struct, frozen=True, kw_only=True):
    """What the process opened at start-up; the lifespan leaves it in `app.state.services`."""

    database: Database
    authenticator: Authenticator
    rate_limits: RateLimits
    idempotency_keys: IdempotencyKeys
    bell: Bell
    modules: ModuleStates
    catch_up: Callable[[], Awaitable[None]]
    """Have this process hear all that is announced by now."""


class RequestContexts(Layer):
    """Gives each request of somebody who is signed in its `Ctx`, and keeps its write lane."""

    def __init__(self, *, registry: TaskRegistry, cursors: CursorSigner) -> None:
        self._registry = registry
        self._cursors = cursors

    async def handle(self, scope: HTTPScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        address, correlation_id = address_of(scope), scope["state"]["correlation_id"]
        principal: Principal | None = scope["user"]
        if principal is None:
            with acting(Acting(address=address, correlation_id=correlation_id)):
                await next_app(scope, receive, send)
            return
        services: Services = scope["litestar_app"].state.services
        modules = await services.modules.of(principal.organization_id)
        _check_gate(scope["route_handler"].opt.get(MODULE), modules)
        ctx = Ctx(
            principal=principal,
            database=services.database,
            registry=self._registry,
            cursors=self._cursors,
            modules=modules,
            correlation_id=correlation_id,
            address=address,
            may_lag=scope["method"] in SAFE,
        )
        scope["state"][CTX] = ctx
        structlog.contextvars.bind_contextvars(
            organization_id=str(principal.organization_id), user_id=str(principal.user_id)
        )
        try:
            with acting(ctx.acting):
                await next_app(scope, receive, CommittingSend(ctx, services.bell, scope, send))
        finally:
            await ctx.close()


def _check_gate(module: str | None, modules: TenantModules) -> None:
    """Raises `NotFound` for a route of a module that the organization doesn't have, whatever its path may hold."""
    if module is not None and module not in modules.enabled:
        raise NotFound(f"The module {module} is not enabled", code="module-not-enabled")


def ctx_of(scope: Scope) -> Ctx:
    """The context that a request was given. Raises `Unauthenticated` where nobody is signed in."""
    ctx: Ctx | None = scope["state"].get(CTX)
    if ctx is None:
        raise Unauthenticated
    return ctx


def requires(permission: Permission, *, team: str | None = None) -> RouteGuard:
    """A guard: only a principal that holds this permission may call the route.

    `team` names the path parameter of the team that the route is about: holding it for that team is enough.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        team_id = None if team is None else connection.path_params[team]
        authorize(ctx_of(connection.scope).principal, permission, team_id=team_id)

    guard.permission = permission  # pyright: ignore[reportFunctionMemberAccess]
    guard.team = team  # pyright: ignore[reportFunctionMemberAccess]
    return guard


async def signed_in(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A guard for what everybody may do with their own account; whoever holds a key of theirs may not, and whoever
    acts in their place only what the handler says."""
    principal = ctx_of(connection.scope).principal
    if principal.kind is PrincipalKind.API_KEY:
        raise Forbidden("This needs a person who signed in", code="person-needed")
    if principal.impersonator_id is not None and not handler.opt.get(IMPERSONATED):
        raise Forbidden("This is for the person alone, and not in their place", code="not-in-their-place")


def operates(permission: Permission) -> RouteGuard:
    """A guard: only an operator who holds this permission may call the route, in a session that is good for it."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        if permission.name not in ctx_of(connection.scope).principal.platform:
            raise Forbidden("This needs an operator, signed in with a second factor", code="operator-needed")

    guard.platform = permission  # pyright: ignore[reportFunctionMemberAccess]
    return guard
