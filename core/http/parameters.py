"""Query parameters: unknown ones are refused, so that a misspelt filter never quietly returns everything."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.routes import HTTPRoute
from msgspec import Struct

from core.errors import FieldError, Invalid
from core.http.field_errors import MAX_ERRORS, NAME_LENGTH, value_errors

KNOWN = "known_parameters"
ONCE = "This parameter can be given once"
NOT_NULL = "Leave the parameter out instead of sending null"


class KnownParameter(Struct, frozen=True):
    repeats: bool
    reads_null: bool
    """Whether the text `null` would be taken for "not given", and a filter so become none at all."""
    moment: Any
    """The type of a moment, for which Litestar would also take a number, as seconds since 1970; None for others."""


def note_known_parameters(app: Litestar) -> None:
    """At start-up: write into each handler's `opt` the query parameters that it declares."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler, model in route.route_handler_map.values():
            declared = handler.parsed_fn_signature.parameters
            handler.opt[KNOWN] = {
                p.field_alias: _known(p.is_sequence, declared[p.field_name].annotation)
                for p in model.expected_query_params
            }


def _known(repeats: bool, kind: Any) -> KnownParameter:
    return KnownParameter(repeats, _reads_null(kind), kind if _reads_moment(kind) else None)


def _reads_moment(kind: Any) -> bool:
    try:
        return isinstance(msgspec.convert("2026-03-01T09:30:00Z", kind, strict=False), datetime)
    except msgspec.ValidationError:
        return False


def _reads_null(kind: Any) -> bool:
    try:
        return msgspec.convert("null", kind, strict=False) is None
    except msgspec.ValidationError:
        return False


def refuse_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Also refuses a parameter that is given twice, of which one would be overlooked. A `before_request` hook."""
    if not (raw := request.scope["query_string"]):
        return
    if b"%00" in raw or b"\0" in raw:
        message = "The NUL character can't be part of a value"
        raise Invalid(message, errors=[FieldError(field="", code="format", message=message)])
    known: Mapping[str, KnownParameter] = request.route_handler.opt.get(KNOWN, {})
    given = request.query_params.dict().items()
    errors = [error for name, values in given for error in _errors_of(name, values, known.get(name))]
    if errors:
        raise Invalid(errors=errors[:MAX_ERRORS])


def _errors_of(name: str, values: list[Any], known: KnownParameter | None) -> Iterator[FieldError]:
    if known is None:
        yield FieldError(field=name[:NAME_LENGTH], code="unknown", message="There is no such parameter")
        return
    if len(values) > 1 and not known.repeats:
        yield FieldError(field=name, code="repeated", message=ONCE)
    elif known.reads_null and any(str(value).lower() == "null" for value in values):
        yield FieldError(field=name, code="type", message=NOT_NULL)
    elif known.moment is not None:
        for value in values:
            yield from value_errors(name, value, known.moment)
