"""Security headers, CORS and HEAD: on every answer there is, whoever makes it."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
import pytest
from asking import CONTACTS, existing_ids, filled, operations
from litestar.routes import HTTPRoute
from msgspec import structs
from serving import WRITE, client_for, serving

from core.app import Application
from core.http.cors import ACCEPTED, CrossOrigin
from core.http.idempotency import HEADER
from core.http.responses import IfMatch
from core.http.security_headers import API_POLICY, DEFAULTS, DOWNLOAD_POLICY
from core.sdk import Ctx, Stream, get, requires
from core.settings import Environment, Settings
from core.testing.tenants import Tenant, client_of

APP = "https://app.example"
OTHER = "https://evil.example"
PAGES = {"/docs", "/redoc"}
CACHED = {"/docs/static/{name:str}": "max-age=86400", "/.well-known/jwks.json": "max-age=300, public"}
"""What says for itself how long it may be kept, and is nobody's in particular."""


def routes(application: Application) -> list[tuple[str, str]]:
    """Every method of every route, documented or not, and what no route answers."""
    known = [
        (method, route.path)
        for route in application.litestar.routes
        if isinstance(route, HTTPRoute)
        for method in route.route_handler_map
    ]
    assert len(known) > 80
    return [*known, ("GET", "/nowhere"), ("TRACE", "/docs"), ("POST", "/health")]


def check_headers(answer: httpx.Response, path: str, seen: object) -> None:
    for name, value in DEFAULTS.items():
        wanted = CACHED.get(path, "no-store") if name == b"cache-control" and answer.is_success else value.decode()
        if answer.request.method != "OPTIONS" or name != b"cache-control":
            assert answer.headers.get_list(name.decode()) == [wanted], (seen, name)
    policies = answer.headers.get_list("content-security-policy")
    assert len(policies) == 1, seen
    assert "frame-ancestors 'none'" in policies[0]
    assert "default-src 'none'" in policies[0]
    assert "unsafe-eval" not in policies[0]
    assert path in PAGES or policies[0].encode() in {API_POLICY, DOWNLOAD_POLICY}, seen


async def test_security_headers_are_on_every_answer(application: Application, acme: Tenant) -> None:
    ids = {**await existing_ids(acme), "name": "swagger-ui.css"}
    strangers = client_of(application)
    for method, path in routes(application):
        plain = filled(re.sub(r":\w+}", "}", path), ids)
        for client in (strangers, acme.client):
            if (client, method) == (acme.client, "POST") or method == "DELETE":
                continue
            answer = await client.request(method, plain)

            assert answer.status_code < 500 or path == "/health", (method, path)
            check_headers(answer, path, (method, path))
    await strangers.aclose()


async def test_a_download_is_opened_in_a_sandbox(acme: Tenant) -> None:
    answer = await acme.client.get(f"{CONTACTS}/export.csv")

    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("environment", "seconds", "expected"),
    [
        (Environment.PRODUCTION, 31_536_000, "max-age=31536000; includeSubDomains"),
        (Environment.PRODUCTION, 0, None),
        (Environment.LOCAL, 31_536_000, None),
    ],
)
async def test_https_is_insisted_on_in_production(
    settings: Settings, environment: Environment, seconds: int, expected: str | None
) -> None:
    own = structs.replace(settings, environment=environment, hsts_seconds=seconds, smtp_url="smtp://mail.example")
    async with serving(own) as application, client_of(application) as client:
        answer = await client.get("/nowhere")

    assert answer.headers.get("strict-transport-security") == expected


@pytest.fixture(scope="module")
async def open_to_two(settings: Settings) -> AsyncGenerator[Application]:
    """An application that lets the pages of two origins in."""
    async with serving(structs.replace(settings, cors_origins=f"{APP}, https://two.example")) as application:
        yield application


async def cross_origin(application: Application, method: str, path: str, **headers: str) -> httpx.Response:
    async with client_of(application) as client:
        return await client.request(method, path, headers=headers)


def permissions(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", CONTACTS])
async def test_an_allowed_origin_sees_every_answer_failures_too(open_to_two: Application, path: str) -> None:
    answer = await cross_origin(open_to_two, "GET", path, Origin=APP)

    seen = permissions(answer)
    assert seen.pop("access-control-allow-origin") == APP
    assert {"etag", "location", "ratelimit", "x-correlation-id", "idempotency-replayed"} <= {
        name.strip().lower() for name in seen.pop("access-control-expose-headers").split(",")
    }
    assert seen == {}
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", [OTHER, "null", "", f"{APP}.evil.example", "http://app.example", APP.upper(), None])
async def test_another_origin_sees_nothing_and_no_cache_mixes_them_up(
    open_to_two: Application, origin: str | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    answers = [await cross_origin(open_to_two, method, "/health/live", **headers) for method in ("GET", "OPTIONS")]

    assert [answer.status_code for answer in answers] == [200, 204]
    assert [permissions(answer) for answer in answers] == [{}, {}]
    assert [answer.headers["vary"] for answer in answers] == ["Origin", "Origin"]


@pytest.mark.parametrize("path", [CONTACTS, "/nowhere"])
async def test_a_preflight_is_answered_without_signing_in(open_to_two: Application, path: str) -> None:
    headers = {"Origin": APP, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}
    answer = await cross_origin(open_to_two, "OPTIONS", path, **headers)

    assert (answer.status_code, answer.content) == (204, b"")
    assert permissions(answer) == {
        "access-control-allow-origin": APP,
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": ACCEPTED.decode(),
        "access-control-max-age": "600",
    }


def test_a_page_may_send_every_header_that_the_api_heeds() -> None:
    accepted = {name.strip() for name in ACCEPTED.decode().split(",")}

    assert {HEADER, IfMatch.__metadata__[0].name, "Authorization", "Content-Type"} <= accepted  # type: ignore[attr-defined]


async def test_options_without_a_preflight_names_the_methods(open_to_two: Application) -> None:
    answer = await cross_origin(open_to_two, "OPTIONS", "/health/live", Origin=APP)

    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_credentials_are_allowed_by_setting(settings: Settings) -> None:
    own = structs.replace(settings, cors_origins=APP, cors_credentials=True)
    async with serving(own) as application, client_of(application) as client:
        answer = await client.get("/health/live", headers={"Origin": APP})

    assert answer.headers["access-control-allow-credentials"] == "true"
    with pytest.raises(ValueError, match="no protection"):
        CrossOrigin(application, origins={"*"}, credentials=True)  # type: ignore[arg-type]


async def test_a_star_lets_everybody_in_without_credentials(settings: Settings) -> None:
    async with (
        serving(structs.replace(settings, cors_origins="*")) as application,
        client_of(application) as client,
    ):
        answer = await client.get("/health/live", headers={"Origin": OTHER})

    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert "vary" not in answer.headers


async def test_without_the_setting_there_is_no_cors(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/health/live", headers={"Origin": APP})

    assert permissions(answer) == {}


TIMED = {"/health", "/health/ready", "/health/db", "/api/v1/health/database", "/api/v1/health/redis", "/metrics"}
"""Their bodies say how long something took, so their length is not the same twice."""


async def test_head_is_answered_as_get_without_a_body(application: Application, acme: Tenant) -> None:
    ids = await existing_ids(acme)
    for operation in operations(application):
        if operation.method != "GET":
            continue
        get_answer = await acme.client.get(operation.path(ids))
        head = await acme.client.head(operation.path(ids))

        assert (head.status_code, head.content) == (get_answer.status_code, b""), operation.id
        for name in ("content-type", "etag", "content-length", "cache-control", "content-disposition"):
            if name != "content-length" or operation.template not in TIMED:
                assert head.headers.get(name) == get_answer.headers.get(name), (operation.id, name)


RUNNING: set[str] = set()


@get("/endless", operation_id="endless", guards=[requires(WRITE)])
async def endless(ctx: Ctx) -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        RUNNING.add("stream")
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            RUNNING.discard("stream")

    return Stream(chunks(), media_type="text/plain")


async def test_head_does_not_run_a_stream(settings: Settings, acme: Tenant) -> None:
    async with serving(settings, endless) as application, client_for(application, acme) as client:
        answer: Any = await client.head("/api/v1/scratch/endless", timeout=5)

    assert (answer.status_code, answer.content) == (200, b"")
    assert not RUNNING
