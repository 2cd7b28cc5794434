"""Who asks. It is found out before anything else, and counted whether it was found out or not."""

from typing import Protocol

from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from core.http.layers import Layer
from core.http.problems import answer_for
from core.http.rate_limits import Counted, RateLimits, class_of
from core.principal import Principal

KNOWS_CALLER = "knows_caller"
"""In the `opt` of a public handler: who sends a credential is authenticated all the same."""
WHILE_SUSPENDED = "while_suspended"
"""In a handler's `opt`: it is there for people whose organization is suspended, too."""


class Authenticator(Protocol):
    async def authenticate(self, bearer: str, *, even_suspended: bool = False) -> Principal:
        """Raises `Unauthenticated` for a token that doesn't count, whatever the reason, and `Forbidden` where the
        organization is suspended, unless `even_suspended`."""
        ...


class Authentication(Layer):
    """Puts the `Principal` into `scope["user"]`, and None where nobody is signed in or the route is for everybody."""

    async def handle(self, scope: HTTPScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        try:
            scope["user"] = await self._admitted(scope)
        except Exception as error:
            await answer_for(error, scope).send(send)
            return
        await next_app(scope, receive, send)

    async def _admitted(self, scope: HTTPScope) -> Principal | None:
        bearer, options = _bearer(scope), scope["route_handler"].opt
        is_asked = bearer is not None and (not options.get("public") or options.get(KNOWS_CALLER))
        route_class = class_of(scope["route_handler"], scope["method"])
        if not is_asked and route_class is None:
            return None
        services = scope["litestar_app"].state.services
        authenticator: Authenticator = services.authenticator
        limits: RateLimits = services.rate_limits
        counted: Counted = [] if route_class is None else limits.refuse_flood(scope, route_class)
        principal: Principal | None = None
        try:
            if bearer is not None and is_asked:
                even_suspended = bool(options.get(WHILE_SUSPENDED) or options.get("public"))
                principal = await authenticator.authenticate(bearer, even_suspended=even_suspended)
        finally:
            if route_class is not None:
                await limits.admit(scope, route_class, counted, principal)
        return principal


def _bearer(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if kind.lower() == "bearer" else ""
    return None
