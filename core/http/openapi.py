"""The OpenAPI 3.1 document and the two pages that show it, all served from here without any outside address."""

from importlib.resources import files
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Request, Response, get
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.datastructures import CacheControlHeader
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]

from core.http.problems import MEDIA_TYPE, Problem

DESCRIPTION = """\
A multi-tenant B2B networking and event platform. Sign in with `POST /api/v1/auth/login` and send the access token as
`Authorization: Bearer …`. Lists are keyset pages: follow `next_cursor` until it is null. Every answer that is not a
success is `application/problem+json` with a stable `code`.\
"""
PROBLEM_REFERENCE = {"$ref": "#/components/schemas/Problem"}
PROBLEMS = {
    "400": "The request can't be read.",
    "401": "Nobody is signed in, or the token no longer counts.",
    "403": "The principal lacks the permission.",
    "404": "There is no such thing, or it is another organization's.",
    "409": "It conflicts with the present state.",
    "412": "It changed since the client read it (If-Match).",
    "413": "The body is too large.",
    "422": "Some values are not acceptable; `errors` lists each.",
    "503": "Briefly unavailable; see Retry-After.",
}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; worker-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The Plugs API</title><link rel="icon" href="data:,">{head}</head>
<body>{body}</body>
</html>
"""
SWAGGER_PAGE = PAGE.format(
    head='<link rel="stylesheet" href="/docs/static/swagger-ui.css">',
    body='<div id="swagger"></div><script src="/docs/static/swagger-ui-bundle.js"></script>'
    '<script src="/docs/static/swagger-start.js"></script>',
)
REDOC_PAGE = PAGE.format(
    head="", body='<redoc spec-url="/openapi.json"></redoc><script src="/docs/static/redoc.standalone.js"></script>'
)
HIDDEN: dict[str, Any] = {"public": True}


def _page(content: str) -> Response[str]:
    return Response(content, media_type=MediaType.HTML, headers={"content-security-policy": PAGE_POLICY})


@get("/docs", include_in_schema=False, opt=HIDDEN, sync_to_thread=False)
def swagger() -> Response[str]:
    return _page(SWAGGER_PAGE)


@get("/redoc", include_in_schema=False, opt=HIDDEN, sync_to_thread=False)
def redoc() -> Response[str]:
    return _page(REDOC_PAGE)


@get("/openapi.json", include_in_schema=False, opt=HIDDEN, sync_to_thread=False)
def openapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
    return Response(document_bytes(request.app), media_type="application/json")


def documentation_routes() -> list[Any]:
    static = create_static_files_router(
        "/docs/static",
        directories=[str(files("core.http") / "static")],
        include_in_schema=False,
        cache_control=CacheControlHeader(max_age=86_400),
        opt=HIDDEN,
    )
    return [swagger, redoc, openapi_json, static]


def prepare_openapi(app: Litestar, *, version: str) -> None:
    """Hand Litestar's generator its configuration without the routes that it would add below `/schema`."""
    bearer = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
    plugin = app.plugins.get(OpenAPIPlugin)
    plugin._openapi_config = OpenAPIConfig(  # pyright: ignore[reportPrivateUsage]
        title="The Plugs",
        version=version,
        description=DESCRIPTION,
        license=License(name="MIT", identifier="MIT"),
        use_handler_docstrings=True,
        components=Components(security_schemes={"bearer": bearer}),
    )


def document_bytes(app: Litestar) -> bytes:
    """The document as JSON, made at first use and kept."""
    cached: bytes | None = app.state.get("openapi_bytes")
    if cached is None:
        cached = msgspec.json.encode(document(app), order="deterministic")
        app.state.openapi_bytes = cached
    return cached


def document(app: Litestar) -> dict[str, Any]:
    raw: dict[str, Any] = app.plugins.get(OpenAPIPlugin).provide_openapi().to_schema()
    public = _public_operations(app)
    _, definitions = msgspec.json.schema_components([Problem], ref_template="#/components/schemas/{name}")
    raw["components"].setdefault("schemas", {}).update(definitions)
    for path in raw["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict):
                _describe_problems(operation, is_public=operation["operationId"] in public)  # pyright: ignore[reportUnknownArgumentType]
    return raw


def _public_operations(app: Litestar) -> set[str]:
    return {
        str(handler.operation_id)
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if handler.opt.get("public")
    }


def _describe_problems(operation: dict[str, Any], *, is_public: bool) -> None:
    """Every operation may answer with these problems; Litestar's own idea of a 400 gives way to ours."""
    responses: dict[str, Any] = operation["responses"]
    responses.pop("400", None)
    if not is_public:
        operation["security"] = [{"bearer": []}]
    for status, meaning in PROBLEMS.items():
        responses.setdefault(status, {"description": meaning, "content": {MEDIA_TYPE: {"schema": PROBLEM_REFERENCE}}})
