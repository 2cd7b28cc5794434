"""Litestar's route handlers, whose guards are asked without a copy of the handler for each of them.

Litestar makes the copy lest a guard change the handler; ours read it. It was a twelfth of what a short read cost.
"""

from functools import partial
from typing import Any

from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler


class RouteHandler(HTTPRouteHandler):
    async def authorize_connection(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        guards: list[Any] = self.resolve_guards()  # pyright: ignore[reportUnknownVariableType]
        for guard in guards:  # ours are coroutine functions
            await guard(connection, self)


get = partial(RouteHandler, http_method=HttpMethod.GET)
post = partial(RouteHandler, http_method=HttpMethod.POST)
put = partial(RouteHandler, http_method=HttpMethod.PUT)
patch = partial(RouteHandler, http_method=HttpMethod.PATCH)
delete = partial(RouteHandler, http_method=HttpMethod.DELETE)
