"""Every route, called with another organization's ids: nothing of it comes out, nothing of it changes.

A route that is neither in `FILLINGS` nor in `PUBLIC` fails, so that none can be added without saying how it is called.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler
from route_fillings import CROSSING, FILLINGS, PERSONAL, PUBLIC, STEPPED
from sqlalchemy import text

from core.app import Application, create_app
from core.db.migrations import owner_connection
from core.http.access import signed_in
from core.http.parameters import KNOWN
from core.http.problems import MEDIA_TYPE
from core.permissions import Role
from core.runtime import Runtime
from core.testing import attacks
from core.testing.attacks import World, comparable, fingerprint, handlers, nobodys, seen_in
from core.testing.fillings import Filling
from core.testing.rows import ORGANIZATION, tenant_tables
from core.testing.tenants import Tenant, make_member, make_tenant

WRITES = [route for route in FILLINGS if not route.startswith("GET ") and route not in PERSONAL]
INJECTED = ("organization_id", "id", "role")
OPERATORS = "/api/v1/admin/"

every_route = pytest.mark.parametrize("route", FILLINGS)


async def furnish(tenant: Tenant, filling: Filling) -> World:
    """Rows in every table there is."""
    return await attacks.furnish(tenant, filling, tenant_tables())


async def call(route: str, client: httpx.AsyncClient, world: World, **more: Any) -> httpx.Response:
    return await attacks.call(route, FILLINGS[route], client, world, **more)


async def caller(tenant: Tenant, route: str) -> httpx.AsyncClient:
    """An owner's client: one of its own where the route ends the session."""
    return (await make_member(tenant, Role.OWNER)).client if FILLINGS[route].ends_session else tenant.client


def declared_by(handler: HTTPRouteHandler) -> set[str]:
    """What a client may send by these names: such a `role` is somebody's new role, and judged as that."""
    data = handler.parsed_fn_signature.parameters.get("data")
    fields = () if data is None else data.annotation.__struct_fields__
    return {*handler.opt[KNOWN], *fields} - {ORGANIZATION, "id"}


def operators_routes(found: Mapping[str, HTTPRouteHandler]) -> set[str]:
    """Their business is to cross from one organization to the next. They have tests of their own, tests/admin."""
    operating = {
        route
        for route, handler in found.items()
        if any(getattr(getattr(guard, "func", guard), "platform", None) for guard in handler.resolve_guards())
    }
    assert operating == {route for route in found if OPERATORS in route}
    return operating


def test_every_route_is_filled_or_public(application: Application) -> None:
    found = dict(handlers(application))

    assert {route for route, handler in found.items() if handler.opt.get("public")} == PUBLIC
    assert set(found) - PUBLIC - CROSSING - STEPPED - operators_routes(found) == set(FILLINGS)


def test_every_route_that_is_not_public_says_who_may_call_it(application: Application) -> None:
    found = {
        route: [getattr(guard, "func", guard) for guard in handler.resolve_guards()]
        for route, handler in handlers(application)
    }

    says = {r: [g is signed_in or _permission_of(g) or getattr(g, "platform", None) for g in found[r]] for r in found}
    unguarded = {route for route, said in says.items() if not any(said)}
    assert unguarded == PUBLIC
    assert {route for route, guards in found.items() if signed_in in guards} == PERSONAL


def _permission_of(guard: Any) -> str | None:
    permission = getattr(guard, "permission", None)
    return permission and permission.name


@every_route
async def test_another_organizations_rows_are_as_good_as_none(route: str, acme: Tenant, globex: Tenant) -> None:
    await nothing_comes_out(route, acme, globex)


@pytest.mark.timeout(400)
async def test_the_queries_alone_keep_organizations_apart(scratch: Runtime) -> None:
    """Row security is the second wall. With it down, the tenant predicate that every query carries must do."""
    async with owner_connection(scratch.settings.owner_url) as owner:
        for table in tenant_tables():
            await owner.execute(text(f"ALTER POLICY tenant ON {table.fullname} USING (true) WITH CHECK (true)"))
        await owner.commit()
    application = create_app(scratch)

    async with application.litestar.lifespan():
        for route in FILLINGS:
            await nothing_comes_out(route, await make_tenant(application), await make_tenant(application))


async def nothing_comes_out(route: str, acme: Tenant, globex: Tenant) -> None:
    """Globex calls the route about rows of acme, then about rows that nobody has."""
    theirs, own = await furnish(acme, FILLINGS[route]), await furnish(globex, FILLINGS[route])
    before = await fingerprint(acme)

    answer = await call(route, await caller(globex, route), theirs)
    to_nothing = await call(route, await caller(globex, route), nobodys())
    to_own = await call(route, await caller(globex, route), own, query={})

    assert answer.status_code == to_nothing.status_code, route
    assert answer.status_code == 404 or not FILLINGS[route].path_names_rows
    if FILLINGS[route].names_rows:
        assert comparable(answer) == comparable(to_nothing)
    assert seen_in(answer, theirs) == set(), route
    assert to_own.is_success, route
    assert seen_in(to_own, theirs) == set(), route
    assert await fingerprint(acme) == before


@every_route
async def test_ones_own_rows_are_served(route: str, acme: Tenant) -> None:
    """Without this, the refusals above would prove nothing."""
    own = await furnish(acme, FILLINGS[route])

    answer = await call(route, await caller(acme, route), own)

    assert answer.is_success, answer.text
    assert seen_in(answer, own) or FILLINGS[route].tells_of_none or not route.startswith("GET ")


@every_route
async def test_without_a_token_nothing_is_served(route: str, acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    own = await furnish(acme, FILLINGS[route])
    before = await fingerprint(acme)

    answer = await call(route, anonymous, own)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert seen_in(answer, own) == set()
    assert await fingerprint(acme) == before


@every_route
async def test_an_injected_organization_changes_nothing(
    route: str, application: Application, acme: Tenant, globex: Tenant
) -> None:
    theirs, own = await furnish(acme, FILLINGS[route]), await furnish(globex, FILLINGS[route])
    client = await caller(globex, route)
    before = await fingerprint(acme), await fingerprint(globex)
    declared = declared_by(dict(handlers(application))[route])
    for name in INJECTED:
        if name in declared:
            continue
        value = {name: "owner" if name == "role" else str(acme.organization_id)}

        in_query = await call(route, client, own, query=value)

        assert in_query.status_code == 422, name
        assert in_query.json()["errors"][0]["field"] == name
        if FILLINGS[route].json is None and FILLINGS[route].files is None:
            continue
        in_body = await call(route, client, own, body=value)
        assert in_body.status_code == 422, name
        assert [(error["field"], error["code"]) for error in in_body.json()["errors"]] == [(name, "unknown")]
        assert seen_in(in_body, theirs) == set()
    assert (await fingerprint(acme), await fingerprint(globex)) == before


@pytest.mark.parametrize("route", WRITES)
async def test_a_viewer_changes_nothing(route: str, acme: Tenant) -> None:
    own = await furnish(acme, FILLINGS[route])
    viewer = await make_member(acme, Role.VIEWER)
    before = await fingerprint(acme)

    answer = await call(route, viewer.client, own)

    assert answer.status_code == 403
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert await fingerprint(acme) == before


async def test_another_organizations_cursor_is_as_good_as_a_forged_one(
    application: Application, acme: Tenant, globex: Tenant
) -> None:
    found = dict(handlers(application))
    lists = [route for route in found.keys() - operators_routes(found) if "cursor" in found[route].opt[KNOWN]]
    theirs, own = await furnish(acme, Filling()), await furnish(globex, Filling())
    assert lists != []

    for route in lists:
        if FILLINGS[route].rows:
            theirs, own = await furnish(acme, FILLINGS[route]), await furnish(globex, FILLINGS[route])
        cursor = (await call(route, acme.client, theirs, query={"limit": 1})).json()["next_cursor"]
        assert cursor is not None or FILLINGS[route].tells_of_none, route
        if cursor is None:
            continue
        answer = await call(route, globex.client, own, query={"limit": 1, "cursor": cursor})
        to_forged = await call(route, globex.client, own, query={"limit": 1, "cursor": "Zm9yZ2Vk" * 8})

        assert answer.status_code == 422, route
        assert comparable(answer) == comparable(to_forged)
