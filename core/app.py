"""Assembles the API from settings, the core's features and the modules that were found."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

import redis.asyncio
from litestar import Litestar, Request, Response, Router
from litestar.types import ASGIApp, Receive, Scope, Send

from core.admin.platform import Platform
from core.admin.routes import admin_router
from core.audit.routes import audit_router
from core.audit.verifying import Verifier
from core.db.database import Database
from core.db.migrations import pending_in
from core.errors import Unavailable
from core.http.access import CTX, RequestContexts, Services
from core.http.addresses import ClientAddresses
from core.http.authentication import Authentication
from core.http.bodies import StrictBody, prepare_body
from core.http.catching_up import CatchingUp
from core.http.cors import CrossOrigin
from core.http.documentation import documentation_routes
from core.http.gcra import Limiter
from core.http.header_limits import HeaderLimit
from core.http.idempotency import MUTATING, IdempotencyKeys
from core.http.impersonation import InSomebodysPlace
from core.http.methods import HeadAsGet, answer_options, note_allowed_methods
from core.http.mounting import mount
from core.http.openapi import prepare_openapi
from core.http.parameters import note_known_parameters, refuse_unknown_parameters
from core.http.problems import EXCEPTION_HANDLERS
from core.http.rate_limits import RateLimitHeaders, RateLimits
from core.http.routers import OwnRouter
from core.http.security_headers import SecurityHeaders
from core.http.time_limits import TimeLimits
from core.identity.oidc.sign_in import OidcSignIn
from core.identity.onboarding import Onboarding
from core.identity.principals import TOPIC as PRINCIPALS
from core.identity.principals import Principals
from core.identity.routes import identity_router
from core.identity.service import Identity, make_identity
from core.mail.delivery import mailbox_folder
from core.mail.mailbox import mailbox_router
from core.observe.access import Access
from core.observe.health import HealthChecks, ModuleHealth, health_router
from core.observe.logs import configure_logs
from core.observe.metrics import Metrics
from core.permissions import permissions_by_role
from core.runtime import Runtime, make_runtime
from core.settings import Environment, Settings, load_settings
from core.tasks.broker import Bell, redis_client
from core.tasks.redis_keys import RedisKeys
from core.toggles.states import TOPIC as MODULES

VERSION = version("the-plugs")


class Application:
    """The ASGI application: Litestar with the access layer around all of it."""

    def __init__(self, litestar: Litestar, runtime: Runtime, metrics: Metrics) -> None:
        self.litestar = litestar
        self.runtime = runtime
        self._asgi = _around(litestar, runtime.settings, metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._asgi(scope, receive, send)


def _around(litestar: Litestar, settings: Settings, metrics: Metrics) -> ASGIApp:
    """What every request goes through, matched or not, from the inside out."""
    app: ASGIApp = HeadAsGet(litestar)  # type: ignore[arg-type]
    app = HeaderLimit(app, most_bytes=settings.header_limit)
    if settings.allowed_origins:
        app = CrossOrigin(app, origins=settings.allowed_origins, credentials=settings.cors_credentials)
    app = SecurityHeaders(app, strict_transport_seconds=settings.strict_transport_seconds)
    app = Access(app, metrics=metrics)
    if settings.proxy_networks:
        app = ClientAddresses(app, proxies=settings.proxy_networks, header=settings.forwarded_header)
    return app


def create_app(runtime: Runtime | None = None) -> Application:
    """The application of `main.py`; tests hand in a runtime of their own."""
    if runtime is None:
        settings = load_settings()
        configure_logs(style=settings.log_format, level=settings.log_level)
        runtime = make_runtime(settings)
    metrics = Metrics()
    litestar = mount(runtime.plugs, partial(_litestar, runtime, metrics))
    if runtime.settings.on_bad_module == "abort":
        runtime.plugs.need_all()
    return Application(litestar, runtime, metrics)


def _litestar(runtime: Runtime, metrics: Metrics, module_routers: Sequence[OwnRouter]) -> Litestar:
    litestar = Litestar(
        route_handlers=[
            health_router(),
            identity_router(),
            audit_router(),
            admin_router(),
            *module_routers,
            *_local_routes(runtime.settings),
            *documentation_routes(),
        ],
        lifespan=[_lifespan(runtime, metrics)],
        middleware=[
            RateLimitHeaders(),
            Authentication(),
            CatchingUp(),
            InSomebodysPlace(),
            RequestContexts(registry=runtime.registry, cursors=runtime.cursors),
            TimeLimits(request_seconds=runtime.settings.request_seconds, body_seconds=runtime.settings.body_seconds),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        before_request=_before_request,
        dto=StrictBody,
        return_dto=None,
        request_max_body_size=runtime.settings.body_limit,
        openapi_config=None,
        logging_config=None,
    )
    note_known_parameters(litestar)
    note_allowed_methods(litestar)
    prepare_openapi(litestar, version=VERSION)
    return litestar


async def _before_request(request: Request[Any, Any, Any]) -> Response[Any] | None:
    refuse_unknown_parameters(request)
    if request.scope["method"] not in MUTATING:
        return answer_options(request)
    await prepare_body(request)
    services: Services = request.app.state.services
    return await services.idempotency_keys.claim(request, request.scope["state"].get(CTX))


def _local_routes(settings: Settings) -> list[Router]:
    """The mailbox of the local default; production has an SMTP server instead."""
    if settings.environment is not Environment.LOCAL or settings.smtp_url:
        return []
    return [mailbox_router(mailbox_folder(settings))]


def _lifespan(runtime: Runtime, metrics: Metrics) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """Opens what a serving process needs and leaves it in the application's state."""
    settings = runtime.settings

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(runtime.open_database("api"))
            client = redis_client(settings.redis_url, seconds=settings.redis_seconds)
            stack.push_async_callback(client.aclose)
            identity = make_identity(database, settings, permissions_by_role(runtime.permissions))
            app.state.identity = identity
            bell = Bell(client, namespace=settings.redis_namespace)
            stack.push_async_callback(bell.close)
            modules, principals = runtime.module_states(database), Principals(identity)
            listeners = {MODULES: modules.forget, PRINCIPALS: principals.hear}
            watcher = await stack.enter_async_context(runtime.watch("api", listeners))
            app.state.services = Services(
                database=database,
                authenticator=principals,
                rate_limits=RateLimits(
                    Limiter(client, fail_open=settings.rate_fail_open, seconds=settings.redis_seconds),
                    RedisKeys(settings.redis_namespace),
                    settings.rates,
                ),
                idempotency_keys=IdempotencyKeys(settings.secret_key),
                bell=bell,
                modules=modules,
                catch_up=partial(watcher.catch_up, database),
            )
            app.state.plugs, app.state.switchboard = runtime.plugs, runtime.switchboard(database)
            app.state.onboarding = Onboarding(
                database=database, links=runtime.links, second_factors=identity.second_factors, ring=bell.ring
            )
            app.state.oidc = OidcSignIn(
                identity=identity, database=database, outgoing=runtime.outgoing, settings=settings, ring=bell.ring
            )
            app.state.platform = _platform(runtime, database, identity, bell)
            app.state.permissions = runtime.permissions
            app.state.verifier = Verifier(database, settings.wrapping_keys)
            app.state.metrics = metrics
            app.state.health = _health(runtime, database, client)
            await stack.enter_async_context(runtime.plugs.lifespan())
            yield

    return lifespan


def _platform(runtime: Runtime, database: Database, identity: Identity, bell: Bell) -> Platform:
    return Platform(
        database=database,
        cursors=runtime.cursors,
        identity=identity,
        links=runtime.links,
        plugs=runtime.plugs,
        switchboard=runtime.switchboard(database),
        ring=bell.ring,
    )


def _health(runtime: Runtime, database: Database, client: "redis.asyncio.Redis") -> HealthChecks:
    async def redis_answers() -> None:
        await client.ping()

    async def migrations_are_done() -> None:
        async with database.system() as system:
            connection = await system.connection()
            if await connection.run_sync(pending_in, runtime.migration_sets):
                raise Unavailable("A migration is pending")

    modules = {plug.name: ModuleHealth(status="ok", version=plug.version) for plug in runtime.plugs} | {
        bad.name: ModuleHealth(status="quarantined", reason=bad.reason) for bad in runtime.plugs.quarantined.values()
    }
    return HealthChecks(database=database.ping, redis=redis_answers, migrations=migrations_are_done, modules=modules)
