"""HEAD and OPTIONS, which every path has without a handler of its own.

Litestar has no HEAD, and its answer to OPTIONS is made with the first handler of a path and forgets later ones.
"""

import asyncio
from typing import Any, cast

from litestar import Litestar, Request, Response
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Message, Receive, ReceiveMessage, Scope, Send

ALLOWED = "allowed_methods"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


class HeadAsGet:
    """Answers HEAD as GET would be answered, without the body. Plain ASGI around the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()

        async def receive_until_answered() -> ReceiveMessage:
            """Once the headers are out nobody listens any more: a stream must not run on for nothing."""
            if not answered.is_set() and not asked.get("body_read"):
                asked["body_read"] = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered.set()

        asked: dict[str, Any] = {**scope, "method": "GET"}
        try:
            await self._app(cast("Scope", asked), receive_until_answered, send_headers)
        finally:
            for found in ("path_template", "path_params"):  # what the access log names it by
                if found in asked:
                    cast("dict[str, Any]", scope)[found] = asked[found]


def note_allowed_methods(app: Litestar) -> None:
    """At start-up: write into each OPTIONS handler's `opt` all methods of its path."""
    for route in app.routes:
        if isinstance(route, HTTPRoute) and "OPTIONS" in route.route_handler_map:
            handler, _ = route.route_handler_map["OPTIONS"]
            methods = {*route.route_handler_map, *({"HEAD"} if "GET" in route.route_handler_map else ())}
            handler.opt[ALLOWED] = ", ".join(sorted(methods))


def answer_options(request: Request[Any, Any, Any]) -> Response[None] | None:
    """A `before_request` hook."""
    if request.scope["method"] != "OPTIONS" or (allowed := request.route_handler.opt.get(ALLOWED)) is None:
        return None
    return Response(None, status_code=204, headers={"Allow": allowed})
