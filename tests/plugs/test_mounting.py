"""Modules whose routes can't be served, beside those whose routes can."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import litestar
import pytest
from litestar import Controller, Router
from litestar.di import Provide
from litestar.params import FromQuery, QueryParameter
from msgspec import structs

from core.app import create_app
from core.http.mounting import mount
from core.http.routers import OwnRouter
from core.plugs.discovery import BadModule, Plug, Plugs
from core.runtime import make_runtime
from core.sdk import Ctx, Module, get, post
from core.settings import Settings
from core.testing.tenants import client_of, make_tenant, running


def plug(name: str, *routes: Any) -> Plug:
    module = Module(name=name, title=name, routes=routes)
    return Plug(module=module, package=name, distribution=name, version="0", directory=Path("/nowhere"))


@get("/fine", operation_id="fine")
async def fine(ctx: Ctx) -> dict[str, str]:
    return {"slug": str(ctx.organization_id)}


@get("/last", operation_id="last")
async def last(ctx: Ctx) -> dict[str, str]:
    return {}


@get("/same-name", operation_id="fine")
async def same_name(ctx: Ctx) -> None: ...


@get("/unannotated", operation_id="unannotated")
async def unannotated(ctx: Ctx): ...  # type: ignore[no-untyped-def]


@get("/unresolved", operation_id="unresolved")
async def unresolved(ctx: Ctx, of: "Nothing") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@get("/twice", operation_id="once")
async def once(ctx: Ctx) -> None: ...


@get("/twice", operation_id="twice")
async def twice(ctx: Ctx) -> None: ...


@get("/{integer:int}", operation_id="of_integer")
async def of_integer(ctx: Ctx) -> None: ...


@get("/{number:int}", operation_id="of_number")
async def of_number(ctx: Ctx) -> None: ...


@get("/{of:nothing}", operation_id="unknown_kind")
async def unknown_kind(ctx: Ctx) -> None: ...


@litestar.get("/litestars", operation_id="litestars")
async def litestars(ctx: Ctx) -> None: ...


@get("/caching", operation_id="caching", cache=True)
async def caching(ctx: Ctx) -> None: ...


async def look(_request: object) -> None: ...


@post("/before", operation_id="before", before_request=look)
async def before(ctx: Ctx) -> None: ...


async def page_of(ctx: Ctx, page: FromQuery[int] = 1) -> int:
    return page


@get("/provided", operation_id="provided", dependencies={"page": Provide(page_of)})
async def provided(ctx: Ctx, page: int) -> None: ...


class Providing(Controller):
    dependencies = {"page": Provide(page_of)}
    fine = fine


class Odd:
    """Nothing that msgspec knows."""


@get("/odd", operation_id="odd")
async def odd(ctx: Ctx) -> Odd:
    return Odd()


BAD: dict[str, tuple[list[Any], str]] = {
    "samename": ([same_name], "there are two operations named fine"),
    "unannotated": ([unannotated], "should be type annotated"),
    "unresolved": ([unresolved], "name 'Nothing' is not defined"),
    "twice": ([once, twice], "GET /api/v1/twice/twice has two handlers"),
    "nested": ([Router("/in", route_handlers=[once, twice])], "GET /in/twice has two handlers"),
    "alike": ([of_integer, of_number], "GET /api/v1/alike/{:int} has two handlers"),
    "unknownkind": ([unknown_kind], "declared with an allowed type"),
    "nothandler": (["a string"], "Unsupported value"),
    "litestars": ([litestars], "GET /api/v1/litestars/litestars isn't made with core.sdk's get"),
    "caching": ([caching], "GET /api/v1/caching/caching sets cache: "),
    "before": ([before], "POST /api/v1/before/before sets before_request: "),
    "provided": ([provided], "GET /api/v1/provided/provided sets dependencies: "),
    "providing": ([Providing], "GET /api/v1/providing/fine sets dependencies: "),
    "layered": (
        [Router("/", route_handlers=[fine], parameters={"of": QueryParameter(annotation=int)})],
        "GET /api/v1/layered/fine sets parameters: ",
    ),
}


async def test_modules_whose_routes_cannot_be_served_are_set_aside_and_the_others_serve(settings: Settings) -> None:
    plugs = Plugs([plug("good", fine), *(plug(name, *routes) for name, (routes, _) in BAD.items()), plug("last", last)])
    application = create_app(make_runtime(settings, plugs))

    assert {name: bad.reason for name, bad in plugs.quarantined.items() if BAD[name][1] not in bad.reason} == {}
    assert set(plugs.quarantined) == set(BAD)
    async with running(application), client_of(application) as nobody:
        tenant = await make_tenant(application)
        health = (await nobody.get("/health")).json()
        assert (await tenant.client.get("/api/v1/good/fine")).json() == {"slug": str(tenant.organization_id)}
        assert (await tenant.client.get("/api/v1/last/last")).status_code == 200
        assert (await tenant.client.get("/api/v1/twice/twice")).status_code == 404
    shown = {name: module["status"] for name, module in health["modules"].items()}
    assert shown == {"good": "ok", "last": "ok"} | dict.fromkeys(BAD, "quarantined")


def test_with_abort_nothing_starts_beside_a_module_whose_routes_cannot_be_served(settings: Settings) -> None:
    plugs = Plugs([plug("good", fine), plug("litestars", litestars)])

    with pytest.raises(BadModule, match="litestars"):
        create_app(make_runtime(structs.replace(settings, on_bad_module="abort"), plugs))


def test_no_module_is_blamed_for_what_fails_without_it() -> None:
    def broken(_routers: Sequence[OwnRouter]) -> Any:
        raise ValueError("the core's own")

    plugs = Plugs([plug("good", fine)])

    with pytest.raises(ValueError, match="the core's own"):
        mount(plugs, broken)
    assert plugs.quarantined == {}


async def test_what_has_no_schema_is_left_out_of_the_document_and_harms_no_other(settings: Settings) -> None:
    application = create_app(make_runtime(settings, Plugs([plug("good", fine), plug("odd", odd)])))

    async with running(application), client_of(application) as nobody:
        document = (await nobody.get("/openapi.json")).json()

    paths = set(document["paths"])
    assert "/api/v1/good/fine" in paths
    assert "/api/v1/odd/odd" not in paths
