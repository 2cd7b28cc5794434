"""Operators in somebody's place: every answer says so, and who may only look changes nothing."""

from collections.abc import Awaitable

import structlog
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Send

from core.errors import Forbidden
from core.http.layers import Layer
from core.http.problems import answer_for
from core.principal import Principal

HEADER = b"impersonated-by"
"""Of every answer: the operator's id."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class InSomebodysPlace(Layer):
    def handle(self, scope: HTTPScope, receive: Receive, send: Send, next_app: ASGIApp) -> Awaitable[None]:
        principal: Principal | None = scope["user"]
        if principal is None or principal.impersonator_id is None:
            return next_app(scope, receive, send)
        operator = str(principal.impersonator_id)
        structlog.contextvars.bind_contextvars(impersonator_id=operator)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, operator.encode())]
            await send(message)

        if principal.read_only and scope["method"] not in SAFE_METHODS:
            refusal = Forbidden("In somebody's place you may only look", code="impersonation-read-only")
            return answer_for(refusal, scope).send(send_named)
        return next_app(scope, receive, send_named)
