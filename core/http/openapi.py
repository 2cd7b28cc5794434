"""The OpenAPI 3.1 document.

Litestar finds the operations; the schemas of bodies and answers come from msgspec, which decodes and encodes them, so
that what is written there is what is done (Litestar's own schemas lose defaults, constraints of aliased types, keys of
dictionaries and that unknown fields are refused).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, cast, get_args, get_origin

import msgspec
import structlog
from litestar import Litestar, Response
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.datastructures import UploadFile
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme
from litestar.response import Stream
from litestar.routes import HTTPRoute
from litestar.typing import FieldDefinition
from msgspec import Struct

from core.http.access import MODULE
from core.http.idempotency import HEADER, MUTATING, takes_key
from core.http.idempotency import PATTERN as KEY_PATTERN
from core.http.problems import MEDIA_TYPE, Problem
from core.http.rate_limits import class_of
from core.http.responses import NOT_MODIFIED, Tagged
from core.http.routers import handlers_in
from core.plugs.manifest import ManifestError

log = structlog.get_logger()

type Json = dict[str, Any]

DESCRIPTION = """\
A multi-tenant B2B networking and event platform. Sign in with `POST /api/v1/auth/login` and send the access token as
`Authorization: Bearer …`. Lists are keyset pages: follow `next_cursor` until it is null. Every answer that is not a
success is `application/problem+json` with a stable `code`. `RateLimit` and `RateLimit-Policy` say how many requests
are left; `Idempotency-Key` makes it safe to send a change again.\
"""
PROBLEM_REFERENCE = {"$ref": "#/components/schemas/Problem"}
PROBLEMS = {
    400: "The request can't be read.",
    401: "Nobody is signed in, or the credential doesn't count.",
    403: "The principal may not do it.",
    404: "There is no such thing, or it is another organization's.",
    408: "The body took too long to arrive.",
    409: "It conflicts with the present state.",
    412: "It changed since the client read it (If-Match).",
    413: "The body is too large.",
    415: "The body is of another type.",
    422: "Some values are not acceptable; `errors` lists each.",
    429: "Too many requests or attempts; see Retry-After.",
    503: "Briefly unavailable; see Retry-After.",
}
KEY_PARAMETER: Json = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Makes it safe to send the request again: the same key with the same request gets the first answer "
    "(with `Idempotency-Replayed: true`), with another request a 422, and a 409 while the first is under way. "
    "Answers are kept for 24 hours; failures are not, so a key may be tried again after one.",
    "schema": {"type": "string", "pattern": KEY_PATTERN},
}
KNOWN_PARAMETER: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETags of what the client has. Where that is what would be sent, the answer is a 304 without it.",
    "schema": {"type": "string"},
}
ETAG: Json = {
    "description": "Stands for what is shown: send it as If-None-Match to get it only if it changed, and as If-Match "
    "to change it only if nobody else has.",
    "schema": {"type": "string"},
}
UNCHANGED = "It is what the client has already (If-None-Match)."
NO_KEY_TAKEN = f"Takes no `{HEADER}`."
ALSO = "problems"
"""In a handler's `opt`: statuses that it can answer with and that its signature doesn't show."""
REFERENCE = "#/components/schemas/{name}"
GENERIC = re.compile(r"^(\w+)\[(\w+)\]$")


class Operation(Struct, frozen=True):
    """One handler, and the types of what goes in and out of it."""

    handler: HTTPRouteHandler
    body: Any
    answer: Any
    parameters: list[FieldDefinition]
    is_tagged: bool
    """Whether it answers with an ETag."""

    @property
    def types(self) -> list[Any]:
        found = [self.body, self.answer, *(parameter.annotation for parameter in self.parameters)]
        return [kind for kind in found if kind not in UNDESCRIBED]


MOMENT: Json = {"examples": ["2026-03-01T09:30:00+01:00"], "pattern": "^(?!0000|0001|9999)"}
UNDESCRIBED = (None, NoneType, Any, Stream, str, bytes)
"""Answers that are no JSON: CSV, plain text, nothing."""


def prepare_openapi(app: Litestar, *, version: str) -> None:
    """Hand Litestar's generator its configuration without the routes that it would add below `/schema`.

    Raises `ManifestError` for two operations of one name.
    """
    bearer = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
    ids = [handler.operation_id for _, handler in handlers_in(app.routes)]
    if twice := sorted({str(name) for name, times in Counter(ids).items() if name and times > 1}):
        raise ManifestError(f"there are two operations named {', '.join(twice)}")
    plugin = app.plugins.get(OpenAPIPlugin)
    plugin._openapi_config = OpenAPIConfig(  # pyright: ignore[reportPrivateUsage]
        title="The Plugs",
        version=version,
        description=DESCRIPTION,
        license=License(name="MIT", identifier="MIT"),
        use_handler_docstrings=True,
        components=Components(security_schemes={"bearer": bearer}),
    )


def document_bytes(app: Litestar, *, modules: frozenset[str] | None = None) -> bytes:
    """The document as JSON, made at first use and kept. `modules` names those whose routes are in it; None is all."""
    cached: dict[frozenset[str] | None, bytes] = app.state.setdefault("openapi_bytes", {})
    if modules not in cached:
        cached[modules] = msgspec.json.encode(document(app, modules=modules), order="deterministic")
    return cached[modules]


def document(app: Litestar, *, modules: frozenset[str] | None = None) -> dict[str, Any]:
    raw: Json = app.plugins.get(OpenAPIPlugin).provide_openapi().to_schema()
    operations = {str(operation.handler.operation_id): operation for operation in _operations(app, modules)}
    try:
        schemas, components = _schemas_of(operations.values())
    except TypeError:
        operations = _describable(operations)
        schemas, components = _schemas_of(operations.values())
    raw["components"]["schemas"] = components
    raw["paths"] = _described(raw["paths"], operations)
    for path in raw["paths"].values():
        for method, described in path.items():
            operation = operations[described["operationId"]]
            _describe_body_and_answer(described, operation, schemas)
            _describe_problems(described, operation, method.upper())
            for parameter in described.get("parameters", ()):
                parameter["schema"] = _within_years(_without_null(parameter["schema"]))
            _describe_key(described, operation, method.upper())
            _describe_tag(described, operation, method.upper())
    return _with_plain_names(raw)


def _describable(operations: Mapping[str, Operation]) -> dict[str, Operation]:
    """Without those whose types have no schema: a module may have made a type of its own, and harms only itself."""
    kept: dict[str, Operation] = {}
    for name, operation in operations.items():
        try:
            _schemas_of([operation])
        except TypeError as error:
            log.warning("openapi.undescribed", operation=name, reason=str(error))
        else:
            kept[name] = operation
    return kept


def _schemas_of(operations: Iterable[Operation]) -> tuple[dict[str, Json], Json]:
    """The schemas of all types by their text, and the components that they refer to."""
    kinds = [Problem, *(kind for operation in operations for kind in operation.types)]
    shown, components = msgspec.json.schema_components(kinds, schema_hook=_of_upload, ref_template=REFERENCE)
    return dict(zip(map(str, kinds), shown, strict=True)), components


def _described(paths: Mapping[str, Json], operations: Mapping[str, Operation]) -> Json:
    """The paths with these operations alone."""
    kept = {
        path: {method: told for method, told in methods.items() if told["operationId"] in operations}
        for path, methods in paths.items()
    }
    return {path: methods for path, methods in kept.items() if methods}


def _operations(app: Litestar, modules: frozenset[str] | None) -> Iterator[Operation]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler, model in route.route_handler_map.values():
            module = handler.opt.get(MODULE)
            if not handler.resolve_include_in_schema() or not _is_shown(module, modules):
                continue
            declared = handler.parsed_fn_signature.parameters
            answered = handler.parsed_fn_signature.return_type.annotation
            expected = (*model.expected_path_params, *model.expected_query_params, *model.expected_header_params)
            yield Operation(
                handler=handler,
                body=declared["data"].annotation if "data" in declared else None,
                answer=_answer_of(answered),
                parameters=[declared[parameter.field_name] for parameter in expected],
                is_tagged=get_origin(answered) is Tagged,
            )


def _is_shown(module: str | None, modules: frozenset[str] | None) -> bool:
    return module is None or modules is None or module in modules


def _answer_of(annotation: Any) -> Any:
    """`Response[ContactOut]` is a `ContactOut`."""
    return get_args(annotation)[0] if get_origin(annotation) in (Response, Tagged) else annotation


def _of_upload(kind: type) -> Json:
    if kind is UploadFile:
        return {"type": "string", "format": "binary"}
    raise NotImplementedError


def _describe_body_and_answer(described: Json, operation: Operation, schemas: Mapping[str, Json]) -> None:
    if operation.body is not None:
        for content in described["requestBody"]["content"].values():
            content["schema"] = schemas[str(operation.body)]
    for content in described["responses"][str(operation.handler.status_code)].get("content", {}).values():
        content["schema"] = schemas.get(str(operation.answer), {"type": "string"})


def _describe_key(described: Json, operation: Operation, method: str) -> None:
    """Every operation that changes something takes an idempotency key, or says that it takes none."""
    if takes_key(operation.handler, method):
        described.setdefault("parameters", []).append(KEY_PARAMETER)
    elif method in MUTATING:
        described["description"] = f"{described.get('description', '')}\n\n{NO_KEY_TAKEN}".strip()


def _describe_tag(described: Json, operation: Operation, method: str) -> None:
    """One row has an ETag, and whoever sends it back gets the row only if it changed."""
    if not operation.is_tagged:
        return
    described["responses"][str(operation.handler.status_code)].setdefault("headers", {})["ETag"] = ETAG
    if method == "GET":
        described.setdefault("parameters", []).append(KNOWN_PARAMETER)
        described["responses"][str(NOT_MODIFIED)] = {"description": UNCHANGED, "headers": {"ETag": ETAG}}


def _describe_problems(described: Json, operation: Operation, method: str) -> None:
    """The problems that this operation can answer with; Litestar's own idea of a 400 gives way to ours."""
    handler = operation.handler
    is_public = bool(handler.opt.get("public"))
    if not is_public:
        described["security"] = [{"bearer": []}]
    has_body = operation.body is not None
    sources = {parameter["in"] for parameter in described.get("parameters", ())}
    names = {parameter["name"] for parameter in described.get("parameters", ())}
    possible = {
        400: has_body or method in MUTATING,
        401: has_body or not is_public,
        403: not is_public,
        404: "path" in sources or MODULE in handler.opt,
        408: has_body,
        409: not is_public and method in MUTATING,
        412: "If-Match" in names,
        413: has_body,
        415: has_body,
        422: True,
        429: class_of(handler, method) is not None,
        503: True,
    }
    described["responses"].pop("400", None)
    for status, meaning in PROBLEMS.items():
        if possible[status] or status in handler.opt.get(ALSO, ()):
            answer = {"description": meaning, "content": {MEDIA_TYPE: {"schema": PROBLEM_REFERENCE}}}
            described["responses"][str(status)] = answer


def _within_years(schema: Json) -> Json:
    """Litestar knows a moment's format, and not what `Moment` says beyond that."""
    return schema | MOMENT if schema.get("format") == "date-time" else schema


def _without_null(schema: Json) -> Json:
    """A parameter that may be left out is nullable to the handler, but nobody can send null in an address."""
    sides: list[Json] = schema.get("oneOf", [])
    if {"type": "null"} not in sides:
        return schema
    kept = [side for side in sides if side != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "oneOf"}
    return rest | (kept[0] if len(kept) == 1 else {"oneOf": kept})


def _with_plain_names(document: Json) -> Json:
    """Generic types by a name that generators of clients can use: `Page[ContactOut]` is a `PageOfContactOut`."""
    names: dict[str, str] = {}
    for name, schema in document["components"]["schemas"].items():
        if found := GENERIC.match(schema.get("title", "")):
            names[name] = schema["title"] = f"{found[1]}Of{found[2]}"
    references = {REFERENCE.format(name=name): REFERENCE.format(name=new) for name, new in names.items()}

    def renamed(node: Any) -> Any:
        match node:
            case {"$ref": str(reference)}:
                return node | {"$ref": references.get(reference, reference)}
            case dict():
                return {names.get(str(key), key): renamed(value) for key, value in cast("Json", node).items()}
            case list():
                return [renamed(value) for value in cast("list[Any]", node)]
            case _:
                return node

    return renamed(document)
