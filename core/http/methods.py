"""OPTIONS: which methods a path has.

Litestar's own answer is made with the first handler of a path and forgets those that are added later.
"""

from typing import Any

from litestar import Litestar, Request, Response
from litestar.routes import HTTPRoute

ALLOWED = "allowed_methods"


def note_allowed_methods(app: Litestar) -> None:
    """At start-up: write into each OPTIONS handler's `opt` all methods of its path."""
    for route in app.routes:
        if isinstance(route, HTTPRoute) and "OPTIONS" in route.route_handler_map:
            handler, _ = route.route_handler_map["OPTIONS"]
            handler.opt[ALLOWED] = ", ".join(sorted(route.route_handler_map))


def answer_options(request: Request[Any, Any, Any]) -> Response[None] | None:
    """A `before_request` hook."""
    if request.method != "OPTIONS" or (allowed := request.route_handler.opt.get(ALLOWED)) is None:
        return None
    return Response(None, status_code=204, headers={"Allow": allowed})
