"""Health: liveness asks nothing outside the process, readiness asks PostgreSQL, the rest is for people."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from litestar import Response, Router, get
from litestar.datastructures import State
from msgspec import Struct

from core.errors import FieldError, PlugsError, Unavailable
from core.observe.metrics import CONTENT_TYPE_LATEST, Metrics

CHECK_SECONDS = 2.0
CONTENT_TYPE = CONTENT_TYPE_LATEST.removesuffix("; charset=utf-8")
"""Litestar adds the character set."""

type Check = Callable[[], Awaitable[None]]


class Health(Struct, frozen=True, kw_only=True):
    """The state of one part, or of the whole."""

    status: Literal["ok", "degraded", "failing"]
    milliseconds: float | None = None
    reason: str | None = None


class ModuleHealth(Struct, frozen=True, kw_only=True):
    status: Literal["ok", "quarantined"]
    version: str | None = None
    reason: str | None = None


class HealthReport(Struct, frozen=True, kw_only=True):
    status: Literal["ok", "degraded", "failing"]
    parts: dict[str, Health]
    modules: dict[str, ModuleHealth]


class HealthChecks:
    """What `/health` asks. Readiness fails while `stopping` is set, so that no new request comes in."""

    def __init__(
        self, *, database: Check, redis: Check, migrations: Check, modules: Mapping[str, ModuleHealth]
    ) -> None:
        self.stopping = False
        self.database = database
        self.redis = redis
        self.migrations = migrations
        self.modules = dict(modules)

    async def ask(self, check: Check) -> Health:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check()
        except Exception as error:  # whatever is wrong, saying so is what this is for
            reason = error.detail if isinstance(error, PlugsError) else type(error).__name__
            return Health(status="failing", reason=reason)
        return Health(status="ok", milliseconds=round((time.perf_counter() - started) * 1000, 2))


PUBLIC: dict[str, Any] = {"public": True, "rate": None}
"""For everybody, at any rate: whoever watches asks often, and liveness must not depend on Redis."""


def _insist(**parts: Health) -> None:
    """Raises `Unavailable` that names each part which is failing."""
    failing = {name: part.reason for name, part in parts.items() if part.status == "failing"}
    if failing:
        errors = [FieldError(field=name, code="failing", message=reason or "") for name, reason in failing.items()]
        raise Unavailable(f"Failing: {', '.join(failing)}", code="failing", errors=errors)


@get("/health/live", operation_id="health_live", summary="Is this process alive?", opt=PUBLIC)
async def live() -> Health:
    return Health(status="ok")


@get("/health/ready", operation_id="health_ready", summary="Should this process get requests?", opt=PUBLIC)
async def ready(state: State) -> Health:
    checks: HealthChecks = state.health
    if checks.stopping:
        _insist(process=Health(status="failing", reason="stopping"))
    database = await checks.ask(checks.database)
    _insist(database=database)
    _insist(migrations=await checks.ask(checks.migrations))
    return database


@get("/health", operation_id="health", summary="All parts and modules at a glance", opt=PUBLIC)
async def overview(state: State) -> HealthReport:
    checks: HealthChecks = state.health
    database, redis, migrations = await asyncio.gather(
        checks.ask(checks.database), checks.ask(checks.redis), checks.ask(checks.migrations)
    )
    parts = {"database": database, "redis": redis, "migrations": migrations}
    _insist(database=database)
    if any(part.status != "ok" for part in parts.values()) or any(m.status != "ok" for m in checks.modules.values()):
        status = "degraded"
    else:
        status = "ok"
    return HealthReport(status=status, parts=parts, modules=checks.modules)


@get("/health/db", operation_id="health_db", summary="Does PostgreSQL answer?", opt=PUBLIC)
async def db_health(state: State) -> Health:
    return await _database_health(state.health)


@get("/api/v1/health/database", operation_id="health_database", summary="Does PostgreSQL answer?", opt=PUBLIC)
async def database_health(state: State) -> Health:
    return await _database_health(state.health)


async def _database_health(checks: HealthChecks) -> Health:
    database = await checks.ask(checks.database)
    _insist(database=database)
    return database


@get("/api/v1/health/redis", operation_id="health_redis", summary="Does Redis answer?", opt=PUBLIC)
async def redis_health(state: State) -> Health:
    checks: HealthChecks = state.health
    redis = await checks.ask(checks.redis)
    _insist(redis=redis)
    return redis


@get("/metrics", operation_id="metrics", summary="Prometheus metrics", opt=PUBLIC, media_type="text/plain")
async def metrics_page(state: State) -> Response[bytes]:
    metrics: Metrics = state.metrics
    return Response(metrics.exposition(), media_type=CONTENT_TYPE)


def health_router() -> Router:
    handlers = [live, ready, overview, db_health, database_health, redis_health, metrics_page]
    return Router("/", route_handlers=handlers, tags=["Health"])
