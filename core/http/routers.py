"""Routers that are registered as they are, and the handlers that are found in them."""

from collections.abc import Iterator, Sequence
from typing import Self

from litestar import Router
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute, HTTPRoute


class OwnRouter(Router):
    """A router that is made for one application and registered once.

    Litestar copies a router deeply, with all handlers below it, each time that it is put into another. That is for
    routers which several applications share, and with three levels of them it was a third of an application's start.
    """

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self


def handlers_in(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, HTTPRouteHandler]]:
    """Each handler by method and path (`GET /api/v1/…`), but for the OPTIONS that Litestar answers by itself.

    Raises `LookupError` for a route that isn't HTTP's: nothing is known of who may use it.
    """
    for route in routes:
        for handler in _handlers_of(route):
            if handler.http_methods == {"OPTIONS"} and handler.fn.__module__.startswith("litestar."):
                continue
            for method in sorted(handler.http_methods):
                yield f"{method} {route.path}", handler


def _handlers_of(route: BaseRoute) -> Sequence[HTTPRouteHandler]:
    match route:
        case HTTPRoute():
            return route.route_handlers
        case _:
            raise LookupError(f"{route.path}: nothing is known of who may use it")
