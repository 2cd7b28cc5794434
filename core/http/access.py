"""From a request to its `Ctx`: who asks, for which organization, in one transaction that ends before the answer starts.

The middleware authenticates, makes the context, and commits the write lane at the moment a successful answer would
begin; where the commit fails, the client gets the error instead of the success.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, cast

import structlog
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec import Struct

from core.db.database import Database
from core.db.pages import CursorSigner
from core.db.tenancy import Acting, acting
from core.errors import Forbidden, NotFound, Unauthenticated
from core.http.problems import answer_for
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
KNOWS_CALLER = "knows_caller"
"""In the `opt` of a public handler: who sends a credential is authenticated all the same."""
FIRST_ERROR = 400

type RouteGuard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Coroutine[Any, Any, None]]


class Authenticator(Protocol):
    async def authenticate(self, bearer: str) -> Principal:
        """Raises `Unauthenticated` for a token that doesn't count, whatever the reason."""
        ...


class Services(Struct, frozen=True, kw_only=True):
    """What the process opened at start-up; the lifespan leaves it in `app.state.services`."""

    database: Database
    authenticator: Authenticator
    bell: Bell
    modules: ModuleStates


class RequestContexts(ASGIMiddleware):
    """Gives each request its `Ctx` and keeps its write lane."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, *, registry: TaskRegistry, cursors: CursorSigner) -> None:
        self._registry = registry
        self._cursors = cursors

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        client = scope["client"]
        stranger = Acting(
            address=client[0] if client else None, correlation_id=str(scope["state"].get("correlation_id", ""))
        )
        with acting(stranger):
            bearer = _bearer(scope)
            options = scope["route_handler"].opt
            if bearer is None or (options.get("public") and not options.get(KNOWS_CALLER)):
                await next_app(scope, receive, send)
                return
            services: Services = scope["litestar_app"].state.services
            try:
                principal = await services.authenticator.authenticate(bearer)
                modules = await services.modules.of(principal.organization_id)
                _check_gate(options.get(MODULE), modules)
            except Exception as error:
                await answer_for(error, scope).send(send)
                return
        ctx = self._ctx(services, principal, modules, stranger)
        await self._serve(scope, receive, send, next_app, ctx, services.bell)

    def _ctx(self, services: Services, principal: Principal, modules: TenantModules, stranger: Acting) -> Ctx:
        return Ctx(
            principal=principal,
            database=services.database,
            registry=self._registry,
            cursors=self._cursors,
            modules=modules,
            correlation_id=stranger.correlation_id,
            address=stranger.address,
        )

    async def _serve(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp, ctx: Ctx, bell: Bell) -> None:
        principal = ctx.principal
        scope["user"] = principal
        scope["state"][CTX] = ctx
        structlog.contextvars.bind_contextvars(
            organization_id=str(principal.organization_id), user_id=str(principal.user_id)
        )
        try:
            with acting(ctx.acting):
                await next_app(scope, receive, _committing(ctx, bell, scope, send))
        finally:
            await ctx.close()


def _check_gate(module: str | None, modules: TenantModules) -> None:
    """Raises `NotFound` for a route of a module that the organization doesn't have, whatever its path may hold."""
    if module is not None and module not in modules.enabled:
        raise NotFound(f"The module {module} is not enabled", code="module-not-enabled")


def _committing(ctx: Ctx, bell: Bell, scope: Scope, send: Send) -> Send:
    """Holds the answer's start back until the commit; after a failed one the client gets the problem instead."""
    replaced = False

    async def send_after_commit(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start":
            try:
                await _end_transaction(ctx, succeeded=message["status"] < FIRST_ERROR)
            except Exception as error:
                replaced = True
                await answer_for(error, scope).send(send)
            else:
                if ctx.has_jobs:
                    bell.ring()
        if not replaced:
            await send(message)

    return send_after_commit


async def _end_transaction(ctx: Ctx, *, succeeded: bool) -> None:
    if succeeded:
        await ctx.commit()
    else:
        await ctx.rollback()


def _bearer(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if kind.lower() == "bearer" else ""
    return None


InjectedCtx = NamedDependency[Ctx]
"""What a handler's `ctx: Ctx` is; elsewhere it is a plain `Ctx`."""


def provide_ctx(request: Request[Any, Any, Any]) -> Ctx:
    """The one dependency of a handler. Raises `Unauthenticated` where nobody is signed in."""
    ctx = request.scope["state"].get(CTX)
    if ctx is None:
        raise Unauthenticated
    return cast("Ctx", ctx)


def requires(permission: Permission, *, team: str | None = None) -> RouteGuard:
    """A guard: only a principal that holds this permission may call the route.

    `team` names the path parameter of the team that the route is about: holding it for that team is enough.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        team_id = None if team is None else connection.path_params[team]
        authorize(_principal_of(connection), permission, team_id=team_id)

    guard.permission = permission  # pyright: ignore[reportFunctionMemberAccess]
    guard.team = team  # pyright: ignore[reportFunctionMemberAccess]
    return guard


async def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard for what everybody may do with their own account; whoever holds a key of theirs may not."""
    if _principal_of(connection).kind is PrincipalKind.API_KEY:
        raise Forbidden("This needs a person who signed in", code="person-needed")


def _principal_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    ctx = connection.scope["state"].get(CTX)
    if ctx is None:
        raise Unauthenticated
    return cast("Ctx", ctx).principal
