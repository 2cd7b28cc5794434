"""A route that changes what people may do lets its own process hear of it before the answer begins: whoever asked for
the change meets it with their very next request. Other processes hear of it within a second."""

from collections.abc import Awaitable

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

from core.http.layers import Layer
from core.http.methods import SAFE

CHANGES_ACCESS = "changes_access"
"""In the `opt` of a handler or router: its mutations may change who may do what."""
REFUSED = 400
"""From here on, nothing was changed."""


class CatchingUp(Layer):
    """Stands outside the write lane's keeper, so that what it lets through is committed."""

    def handle(self, scope: HTTPScope, receive: Receive, send: Send, next_app: ASGIApp) -> Awaitable[None]:
        if scope["method"] in SAFE or not scope["route_handler"].opt.get(CHANGES_ACCESS):
            return next_app(scope, receive, send)

        async def send_when_caught_up(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < REFUSED:
                await scope["litestar_app"].state.services.catch_up()
            await send(message)

        return next_app(scope, receive, send_when_caught_up)
