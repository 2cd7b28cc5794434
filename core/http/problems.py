"""Problem details (RFC 9457): the one shape of every answer that is not a success.

Clients may rely on `code`. Nothing internal (SQL, traces, paths) is ever in one; it goes to the log, under the same
correlation id.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import asyncpg
import msgspec
import structlog
from advanced_alchemy.exceptions import AdvancedAlchemyError
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Scope, Send
from msgspec import Struct
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from core import errors
from core.errors import FieldError, PlugsError
from core.http.field_errors import explain

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2

STATUS: dict[type[PlugsError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.TooSlow: 408,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.Invalid: 422,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
}
CODES: dict[int, str] = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    429: "too-many-requests",
    431: "headers-too-large",
    503: "unavailable",
}
HEADERS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    408: {"Connection": "close"},
    503: {"Retry-After": str(RETRY_SECONDS)},
}


class Problem(Struct, frozen=True, kw_only=True):
    """An error as RFC 9457 tells it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    """Stable; what programs decide by."""
    errors: Sequence[FieldError] = ()
    """Every field that is wrong, where fields are."""
    correlation_id: str = ""


class ProblemAnswer(Struct, frozen=True):
    problem: Problem
    headers: Mapping[str, str]

    def as_response(self) -> Response[Problem]:
        return Response(
            self.problem, status_code=self.problem.status, media_type=MEDIA_TYPE, headers=dict(self.headers)
        )

    async def send(self, send: Send) -> None:
        """Straight onto the wire, for where no Litestar response can be made any more."""
        body = msgspec.json.encode(self.problem)
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **self.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.problem.status, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def answer_for(error: Exception, scope: Scope) -> ProblemAnswer:
    """What the client is told of an error. Errors that nobody foresaw are logged here, with their trace."""
    correlation_id = str(scope.get("state", {}).get("correlation_id", ""))
    if isinstance(error, HTTPException):
        return _of_http(error, scope, correlation_id)
    known = error if isinstance(error, PlugsError) else _of_database(error)
    if known is None:
        log.error("request.failed", exc_info=error)
        return _answer(500, "internal-error", "Something went wrong on our side", correlation_id)
    status = next(STATUS[kind] for kind in type(known).__mro__ if kind in STATUS)
    headers = None if known.retry_after is None else {"Retry-After": str(known.retry_after)}
    return _answer(
        status, known.code, known.detail, correlation_id, title=known.title, fields=known.errors, headers=headers
    )


def _answer(
    status: int,
    code: str,
    detail: str,
    correlation_id: str,
    *,
    title: str | None = None,
    fields: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> ProblemAnswer:
    problem = Problem(
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        errors=fields,
        correlation_id=correlation_id,
    )
    return ProblemAnswer(problem, {**HEADERS.get(status, {}), **(headers or {})})


def _of_http(error: HTTPException, scope: Scope, correlation_id: str) -> ProblemAnswer:
    """Litestar's own errors: routing, limits, and parameters that don't fit."""
    if isinstance(error, ValidationException):
        if any(extra.get("key") == "data" for extra in _extras(error)):  # what is there was decoded without Litestar
            return _answer(400, "malformed", "The body is empty", correlation_id, title=errors.Malformed.title)
        fields = [_field_of(extra, scope) for extra in _extras(error)]
        return _answer(422, "invalid", errors.Invalid.title, correlation_id, title=errors.Invalid.title, fields=fields)
    status = error.status_code
    if status >= 500:
        log.error("request.failed", exc_info=error)
        return _answer(status, CODES.get(status, "internal-error"), HTTPStatus(status).phrase, correlation_id)
    detail = HTTPStatus(status).phrase if status in {404, 405} else error.detail
    headers = dict(error.headers or {})
    if "GET" in (allowed := headers.get("allow", "").split(", ")):
        headers["allow"] = ", ".join(sorted({*allowed, "HEAD"}))
    return _answer(status, CODES.get(status, "malformed"), detail, correlation_id, headers=headers)


def _extras(error: ValidationException) -> list[Any]:
    extra: Any = error.extra
    return extra if isinstance(extra, list) else []  # pyright: ignore[reportUnknownVariableType]


def _field_of(extra: Mapping[str, Any], scope: Scope) -> FieldError:
    """A parameter's error in the words of a body's, under the name that the client knows it by."""
    name = str(extra.get("key", ""))
    parameter = scope["route_handler"].parsed_fn_signature.parameters.get(name)
    code, message = explain(str(extra.get("message", "")), parameter.raw if parameter else Any)
    alias = getattr(parameter.kwarg_definition, "name", None) if parameter else None
    return FieldError(field=alias or name, code=code, message=message)


def _of_database(error: Exception) -> PlugsError | None:
    """What a database error means to a client, by SQLSTATE; None where it is our fault."""
    if isinstance(error, StaleDataError):
        return errors.PreconditionFailed()
    if isinstance(error, AdvancedAlchemyError) and isinstance(error.__cause__, Exception):
        return _of_database(error.__cause__)
    if isinstance(error, PoolTimeout | TimeoutError | OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return errors.Unavailable()
    cause = error.orig if isinstance(error, DBAPIError) else error
    sqlstate = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if not isinstance(sqlstate, str):
        gone = isinstance(error, DBAPIError) and error.connection_invalidated
        return errors.Unavailable() if gone else None
    return _of_sqlstate(sqlstate)


def _of_sqlstate(sqlstate: str) -> PlugsError | None:
    match sqlstate:
        case "23505":
            return errors.Conflict("Another row already has one of these values", code="already-exists")
        case "23503":
            return errors.Conflict("It refers to something that does not exist, or is still in use", code="reference")
        case "23514" | "23502":
            return errors.Invalid()
        case "40001" | "40P01" | "55P03":
            return errors.Conflict("Somebody else was changing the same thing; try again", code="try-again")
        case "57014":
            return errors.Unavailable("It took too long", code="too-slow")
        case _ if sqlstate.startswith("22"):
            return errors.Invalid("A value holds characters or a size that can't be stored")
        case _ if sqlstate.startswith(("08", "53", "57")):
            return errors.Unavailable()
        case _:
            return None


def handle_exception(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    return answer_for(error, request.scope).as_response()


EXCEPTION_HANDLERS: dict[type[Exception] | int, Callable[[Request[Any, Any, Any], Any], Response[Any]]] = {
    Exception: handle_exception,
    HTTPException: handle_exception,
    PlugsError: handle_exception,
    SQLAlchemyError: handle_exception,
}
