"""Query parameters: unknown ones are refused, so that a misspelt filter never quietly returns everything."""

from typing import Any

from litestar import Litestar, Request
from litestar.routes import HTTPRoute

from core.errors import FieldError, Invalid

KNOWN = "known_parameters"


def note_known_parameters(app: Litestar) -> None:
    """At start-up: write into each handler's `opt` the query parameters that it declares."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler, model in route.route_handler_map.values():
            handler.opt[KNOWN] = frozenset(p.field_alias for p in model.expected_query_params)


def refuse_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """A `before_request` hook."""
    if not (raw := request.scope["query_string"]):
        return
    if b"%00" in raw:
        message = "The NUL character can't be part of a value"
        raise Invalid(message, errors=[FieldError(field="", code="value", message=message)])
    known: frozenset[str] = request.route_handler.opt.get(KNOWN, frozenset())
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise Invalid(
            errors=[FieldError(field=name, code="unknown", message="There is no such parameter") for name in unknown]
        )
