"""Operators in somebody's place: every answer says so, and who may only look changes nothing."""

import structlog
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Forbidden
from core.http.problems import answer_for
from core.principal import Principal

HEADER = b"impersonated-by"
"""Of every answer: the operator's id."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class InSomebodysPlace(ASGIMiddleware):
    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        principal: Principal | None = scope["user"]
        if principal is None or principal.impersonator_id is None:
            await next_app(scope, receive, send)
            return
        operator = str(principal.impersonator_id)
        structlog.contextvars.bind_contextvars(impersonator_id=operator)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, operator.encode())]
            await send(message)

        if principal.read_only and scope.get("method") not in SAFE_METHODS:
            refusal = Forbidden("In somebody's place you may only look", code="impersonation-read-only")
            await answer_for(refusal, scope).send(send_named)
            return
        await next_app(scope, receive, send_named)
