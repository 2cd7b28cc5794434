"""A route that changes what people may do lets its own process hear of it before the answer begins: whoever asked for
the change meets it with their very next request. Other processes hear of it within a second."""

from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

CHANGES_ACCESS = "changes_access"
"""In the `opt` of a handler or router: its mutations may change who may do what."""
REFUSED = 400
"""From here on, nothing was changed."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class CatchingUp(ASGIMiddleware):
    """Stands outside the write lane's keeper, so that what it lets through is committed."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Any = scope
        if request["method"] in SAFE or not scope["route_handler"].opt.get(CHANGES_ACCESS):
            await next_app(scope, receive, send)
            return

        async def send_when_caught_up(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < REFUSED:
                await scope["litestar_app"].state.services.catch_up()
            await send(message)

        await next_app(scope, receive, send_when_caught_up)
