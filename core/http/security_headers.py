"""Security headers on every answer, whoever makes it: nothing is sniffed, framed, embedded, referred to or cached
unless a route says otherwise. A download is opened in a sandbox, if at all.
"""

from typing import Any

from litestar.types import ASGIApp, Message, Receive, Scope, Send

POLICY = b"content-security-policy"
API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
DOWNLOAD_POLICY = API_POLICY + b"; sandbox"
DEFAULTS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
"""What an answer has unless it brings the same header itself."""


class SecurityHeaders:
    """Plain ASGI around the application."""

    def __init__(self, app: ASGIApp, *, strict_transport_seconds: int) -> None:
        """`strict_transport_seconds` is how long browsers shall insist on https; 0 for not at all."""
        self._app = app
        defaults = dict(DEFAULTS)
        if strict_transport_seconds:
            value = f"max-age={strict_transport_seconds}; includeSubDomains"
            defaults[b"strict-transport-security"] = value.encode()
        self._usual = [*defaults.items(), (POLICY, API_POLICY)]
        self._downloads = [*defaults.items(), (POLICY, DOWNLOAD_POLICY)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._complete(list(message.get("headers", ())))
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _complete(self, headers: Any) -> list[tuple[bytes, bytes]]:
        given = {name.lower(): value for name, value in headers}
        is_download = given.get(b"content-disposition", b"").lower().startswith(b"attachment")
        wanted = self._downloads if is_download else self._usual
        return [*headers, *[(name, value) for name, value in wanted if name not in given]]
