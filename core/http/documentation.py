"""Swagger UI, ReDoc and `/openapi.json`, all served from here without any outside address."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response
from litestar.datastructures import CacheControlHeader
from litestar.params import FromPath
from litestar.response import File

from core.errors import NotFound
from core.http.access import CTX
from core.http.authentication import KNOWS_CALLER
from core.http.handlers import get
from core.http.openapi import document_bytes
from core.tasks.context import Ctx

STATIC = Path(str(files("core.http"))) / "static"
SCRIPT = "text/javascript"
FILES: Mapping[str, str] = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": SCRIPT,
    "swagger-start.js": SCRIPT,
    "redoc.standalone.js": SCRIPT,
}
"""What the pages need, by name: no path that a client sends ever reaches the file system."""

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


@get("/openapi.json", include_in_schema=False, opt={**HIDDEN, KNOWS_CALLER: True}, sync_to_thread=False)
def openapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The whole deployment's document; who is signed in gets that of their organization's modules."""
    ctx: Ctx | None = request.scope["state"].get(CTX)
    document = document_bytes(request.app, modules=None if ctx is None else ctx.modules.enabled)
    return Response(document, media_type="application/json", headers={"Vary": "Authorization"})


@get(
    "/docs/static/{name:str}",
    include_in_schema=False,
    opt=HIDDEN,
    sync_to_thread=False,
    cache_control=CacheControlHeader(max_age=86_400),
)
def static_file(name: FromPath[str]) -> File:
    if name not in FILES:
        raise NotFound
    return File(STATIC / name, filename=name, media_type=FILES[name], content_disposition_type="inline")


def documentation_routes() -> list[Any]:
    return [swagger, redoc, openapi_json, static_file]
