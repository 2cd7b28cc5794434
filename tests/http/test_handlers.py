"""However a handler is written, its `ctx` is the asker's, and nobody's request reaches it without one."""

from typing import Any

from litestar import Controller, Request
from litestar.params import FromPath, FromQuery
from litestar.types import Scope
from serving import client_for, serving

from core.sdk import Ctx, get, post
from core.settings import Settings
from core.testing.tenants import MakeTenant, client_of

SEEN: list[str] = []


@get("/alone", operation_id="alone")
async def alone(ctx: Ctx) -> list[str]:
    return [str(ctx.organization_id)]


@get("/among/{name:str}", operation_id="among")
async def among(name: FromPath[str], ctx: Ctx, times: FromQuery[int] = 2) -> list[str]:
    """What it is about."""
    return [str(ctx.organization_id), name * times]


@get("/keyword", operation_id="keyword")
async def keyword(*, request: Request[Any, Any, Any], ctx: Ctx) -> list[str]:
    return [str(ctx.organization_id), request.url.path]


@get("/scoped", operation_id="scoped")
async def scoped(ctx: Ctx, scope: Scope) -> list[str]:
    return [str(ctx.organization_id), scope["path"]]


@get("/plain", operation_id="plain", sync_to_thread=False)
def plain(ctx: Ctx) -> list[str]:
    return [str(ctx.organization_id)]


@get("/threaded", operation_id="threaded", sync_to_thread=True)
def threaded(ctx: Ctx) -> list[str]:
    return [str(ctx.organization_id)]


@post("/written", operation_id="written", status_code=200)
async def written(ctx: "Ctx") -> "list[str]":
    SEEN.append(str(ctx.organization_id))
    return [str(ctx.organization_id)]


class Bound(Controller):
    path = "/bound"

    @get("/{name:str}", operation_id="bound")
    async def bound(self, ctx: Ctx, name: FromPath[str]) -> list[str]:
        return [str(ctx.organization_id), type(self).__name__, name]


CASES: list[tuple[str, str, list[str]]] = [
    ("GET", "alone", []),
    ("GET", "among/ab?times=3", ["ababab"]),
    ("GET", "among/ab", ["abab"]),
    ("GET", "keyword", ["/api/v1/scratch/keyword"]),
    ("GET", "scoped", ["/api/v1/scratch/scoped"]),
    ("GET", "plain", []),
    ("GET", "threaded", []),
    ("POST", "written", []),
    ("GET", "bound/a", ["Bound", "a"]),
]


async def test_ctx_is_the_askers_however_it_is_taken(settings: Settings, new_tenant: MakeTenant) -> None:
    SEEN.clear()
    tenants = [await new_tenant(), await new_tenant()]
    routes = (alone, among, keyword, scoped, plain, threaded, written, Bound)
    async with serving(settings, *routes) as application, client_of(application) as nobody:
        for tenant in tenants:
            async with client_for(application, tenant) as client:
                for method, path, says in CASES:
                    answer = await client.request(method, f"/api/v1/scratch/{path}")
                    assert (answer.status_code, answer.json()) == (200, [str(tenant.organization_id), *says])

        for method, path, _ in CASES:
            refused = await nobody.request(method, f"/api/v1/scratch/{path}")
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert [str(tenant.organization_id) for tenant in tenants] == SEEN


async def test_openapi_shows_a_handler_as_it_was_written(settings: Settings) -> None:
    async with serving(settings, among) as application, client_of(application) as client:
        document = (await client.get("/openapi.json")).json()

    shown = document["paths"]["/api/v1/scratch/among/{name}"]["get"]
    assert {parameter["name"] for parameter in shown["parameters"]} == {"name", "times"}
    assert shown["description"] == "What it is about."
