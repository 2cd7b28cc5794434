"""The outermost layer of the API: correlation id, access log and metrics for every request, matched or not.

It is plain ASGI around the whole application, since middleware inside Litestar does not run for unmatched routes.
"""

import time

import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from core.observe.correlation import HEADER, correlation_id_from
from core.observe.metrics import Metrics

log = structlog.get_logger("access")

NAME = HEADER.encode()
SLOW_SECONDS = 1.0
UNMATCHED = "(unmatched)"
QUIET_PREFIXES = ("/health", "/metrics")


class Access:
    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = [value for name, value in scope["headers"] if name == NAME]
        correlation_id = correlation_id_from(sent[0].decode("latin-1") if sent else None)
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (NAME, correlation_id.encode())]
            await send(message)

        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        started = time.perf_counter()
        try:
            await self._app(scope, receive, send_marked)
        finally:
            self._account(scope, status, time.perf_counter() - started)

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        route = str(scope.get("path_template") or UNMATCHED)
        method = str(scope.get("method", ""))
        self._metrics.note(method, route, status, seconds)
        if status >= 500 or status == 0:
            self._metrics.failures.labels(route).inc()
        if not route.startswith(QUIET_PREFIXES):
            emit = log.warning if seconds > SLOW_SECONDS else log.info
            emit(
                "request", method=method, path=_path(scope, route), status=status, milliseconds=round(seconds * 1000, 1)
            )


def _path(scope: Scope, route: str) -> str:
    """The path as it was sent where it holds nothing but ids; else what it matched, for free text may be anybody's."""
    is_free = str in map(type, scope.get("path_params", {}).values())
    return route if is_free or route == UNMATCHED else scope["path"]
