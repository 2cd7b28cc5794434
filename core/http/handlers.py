"""Litestar's route handlers, with less to do for each request.

A handler's `ctx: Ctx` comes out of the request's scope. As a dependency, Litestar would resolve it by a signature of
its own and keep a list of what to clean up, which was an eighth of a short read. Guards are asked without a copy of the
handler for each of them, which Litestar makes lest one change it; ours read it. What answers to errors is found once.
"""

import inspect
from collections.abc import Callable
from functools import cached_property, partial, wraps
from typing import Any

from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope

from core.http.access import CTX, ctx_of

SCOPE = "scope"


class RouteHandler(HTTPRouteHandler):
    """What modules make with `get`, `post`, `put`, `patch` and `delete`."""

    def __call__(self, fn: Callable[..., Any]) -> HTTPRouteHandler:
        return super().__call__(_with_ctx(fn))

    def resolve_exception_handlers(self) -> Any:
        return self._exception_handlers

    @cached_property
    def _exception_handlers(self) -> Any:
        return super().resolve_exception_handlers()  # pyright: ignore[reportUnknownVariableType]

    async def authorize_connection(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        guards: list[Any] = self.resolve_guards()  # pyright: ignore[reportUnknownVariableType]
        for guard in guards:  # ours are coroutine functions
            await guard(connection, self)


def _with_ctx(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same function as Litestar shall see it: what takes a `ctx` takes the scope, which Litestar has at hand."""
    signature = inspect.signature(fn)
    if CTX not in signature.parameters:
        return fn
    wants_scope = SCOPE in signature.parameters

    @wraps(fn)
    def handler(*bound: Any, scope: Scope, **given: Any) -> Any:
        if wants_scope:
            given[SCOPE] = scope
        return fn(*bound, ctx=ctx_of(scope), **given)

    if inspect.iscoroutinefunction(fn):
        inspect.markcoroutinefunction(handler)
    others = [parameter for name, parameter in signature.parameters.items() if name not in {CTX, SCOPE}]
    taken = inspect.Parameter(SCOPE, inspect.Parameter.KEYWORD_ONLY, annotation=Scope)
    handler.__signature__ = signature.replace(parameters=[*others, taken])  # pyright: ignore[reportAttributeAccessIssue]
    handler.__annotations__ = {name: kind for name, kind in fn.__annotations__.items() if name != CTX} | {SCOPE: Scope}
    return handler


get = partial(RouteHandler, http_method=HttpMethod.GET)
post = partial(RouteHandler, http_method=HttpMethod.POST)
put = partial(RouteHandler, http_method=HttpMethod.PUT)
patch = partial(RouteHandler, http_method=HttpMethod.PATCH)
delete = partial(RouteHandler, http_method=HttpMethod.DELETE)
