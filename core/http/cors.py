"""Cross-origin requests: which other sites' pages may call the API from a browser. By setting, and none by default.

Litestar's own middleware answers what it refuses in plain text and leaves out `Vary` where it allows nothing, so that
a cache would hand one origin's answer to another. Here a request of another origin is answered as any other, without
the headers that would show the answer to the page.
"""

from collections.abc import Set as AbstractSet

from litestar.types import ASGIApp, Message, Receive, Scope, Send

type RawHeaders = list[tuple[bytes, bytes]]

METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
ACCEPTED = b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Correlation-Id"
EXPOSED = (
    b"ETag, Location, Content-Disposition, Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, "
    b"X-Correlation-Id"
)
PREFLIGHT_SECONDS = b"600"


class CrossOrigin:
    """Plain ASGI around the application."""

    def __init__(self, app: ASGIApp, *, origins: AbstractSet[str], credentials: bool) -> None:
        """`origins` are exact, or `*` alone, which is never given credentials. There is at least one."""
        if credentials and "*" in origins:
            raise ValueError("every origin with credentials would be no protection at all")
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._credentials = credentials

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        allowed = self._allowed(headers.get(b"origin"))
        if allowed and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": _preflight(allowed)})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return

        async def send_with_permission(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._permission(allowed)]
            await send(message)

        await self._app(scope, receive, send_with_permission)

    def _allowed(self, origin: bytes | None) -> RawHeaders:
        """The headers that let this origin in; none where it is not let in."""
        if b"*" in self._origins and origin is not None:
            return [(b"access-control-allow-origin", b"*")]
        if origin is None or origin not in self._origins:
            return []
        credentials = [(b"access-control-allow-credentials", b"true")] if self._credentials else []
        return [(b"access-control-allow-origin", origin), (b"vary", b"Origin"), *credentials]

    def _permission(self, allowed: RawHeaders) -> RawHeaders:
        if allowed:
            return [*allowed, (b"access-control-expose-headers", EXPOSED)]
        return [] if b"*" in self._origins else [(b"vary", b"Origin")]


def _preflight(allowed: RawHeaders) -> RawHeaders:
    return [
        *allowed,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", ACCEPTED),
        (b"access-control-max-age", PREFLIGHT_SECONDS),
    ]
