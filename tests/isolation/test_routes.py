"""Every route, called with another organization's ids: nothing of it comes out, nothing of it changes.

A route that is neither in `FILLINGS` nor in `PUBLIC` fails, so that none can be added without saying how it is called.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct, structs
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
from core.testing.tenants import Tenant, client_of, make_member, make_tenant

WRITES = [route for route in FILLINGS if not route.startswith("GET ") and route not in PERSONAL]
INJECTED = ("organization_id", "id", "role")
A_PLAIN_READING = "GET /api/v1/networking/contacts"
OPERATORS = "/api/v1/admin/"
NOTED = ("GET /api/v1/audit", "GET /api/v1/networking/contacts/export.csv")
"""Beginnings of routes that tell what was asked for before, or whose use is put down."""


async def furnish(tenant: Tenant, filling: Filling) -> World:
    """Rows in every table there is."""
    return await attacks.furnish(tenant, filling, tenant_tables())


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


class Trial(Struct, frozen=True, kw_only=True):
    """A route, and two organizations that both have rows in every table. Each attempt tells what was wrong with it."""

    route: str
    acme: Tenant
    globex: Tenant
    theirs: World
    """Acme's."""
    own: World
    """Globex's."""

    @property
    def filling(self) -> Filling:
        return FILLINGS[self.route]

    async def caller(self) -> httpx.AsyncClient:
        """An owner's client, globex's: one of its own where the route ends the session."""
        return (await make_member(self.globex, Role.OWNER)).client if self.filling.ends_session else self.globex.client

    async def call(self, client: httpx.AsyncClient, world: World, **more: Any) -> httpx.Response:
        return await attacks.call(self.route, self.filling, client, world, **more)

    async def state(self) -> list[dict[str, str]]:
        return [await fingerprint(tenant) for tenant in (self.acme, self.globex)]

    async def without_a_token(self) -> list[str]:
        async with client_of(self.acme.application) as anonymous:
            answer = await self.call(anonymous, self.theirs)
        return wrongs(
            answer,
            status=answer.status_code == 401,
            problem=answer.headers["content-type"] == MEDIA_TYPE,
            leak=not seen_in(answer, self.theirs),
        )

    async def as_a_viewer(self, viewer: Tenant) -> list[str]:
        answer = await self.call(viewer.client, self.own)
        return wrongs(answer, status=answer.status_code == 403, problem=answer.headers["content-type"] == MEDIA_TYPE)

    async def with_an_injected(self, name: str, client: httpx.AsyncClient) -> list[str]:
        """An organization, an id or a role that the route has not asked for, in the query and in the body."""
        value = {name: "owner" if name == "role" else str(self.acme.organization_id)}
        answer = await self.call(client, self.own, query=value)
        found = wrongs(answer, query=refuses(answer) and answer.json()["errors"][0]["field"] == name)
        if self.filling.json is None and self.filling.files is None:
            return found
        answer = await self.call(client, self.own, body=value)
        told = refuses(answer) and [(e["field"], e["code"]) for e in answer.json()["errors"]]
        return found + wrongs(answer, body=told == [(name, "unknown")], leak=not seen_in(answer, self.theirs))

    async def about_their_rows(self) -> list[str]:
        """Globex calls it about rows of acme, and about rows that nobody has: nothing tells the two apart."""
        answer = await self.call(await self.caller(), self.theirs)
        to_nothing = await self.call(await self.caller(), nobodys())
        return wrongs(
            answer,
            status=answer.status_code == to_nothing.status_code,
            absent=answer.status_code == 404 or not self.filling.path_names_rows,
            same=not self.filling.names_rows or comparable(answer) == comparable(to_nothing),
            leak=not seen_in(answer, self.theirs),
        )

    async def about_its_own_rows(self) -> list[str]:
        """They are served: without this, the refusals would prove nothing. Unfiltered, none of acme's come along."""
        answer = await self.call(await self.caller(), self.own)
        serves = seen_in(answer, self.own) or self.filling.tells_of_none or not self.route.startswith("GET ")
        found = wrongs(answer, success=answer.is_success, own=serves, leak=not seen_in(answer, self.theirs))
        if not self.filling.query:
            return found
        answer = await self.call(await self.caller(), self.own, query={})
        return found + wrongs(answer, unfiltered=answer.is_success, leak=not seen_in(answer, self.theirs))


def wrongs(answer: httpx.Response, **holds: object) -> list[str]:
    """What doesn't hold of an answer."""
    said = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:500]}"
    return [f"{name}: {said}" for name, held in holds.items() if not held]


def refuses(answer: httpx.Response) -> bool:
    return answer.status_code == 422


def takes_any_rows(route: str) -> bool:
    return not FILLINGS[route].rows and not FILLINGS[route].names_colleague


def is_plain_reading(route: str) -> bool:
    """Whether it changes nothing, and any rows will do for it."""
    return route.startswith("GET ") and not route.startswith(NOTED) and takes_any_rows(route)


async def set_up(route: str, acme: Tenant, globex: Tenant) -> Trial:
    theirs, own = await furnish(acme, FILLINGS[route]), await furnish(globex, FILLINGS[route])
    return Trial(route=route, acme=acme, globex=globex, theirs=theirs, own=own)


async def set_up_anew(route: str, application: Application) -> Trial:
    return await set_up(route, await make_tenant(application), await make_tenant(application))


async def set_up_beside(reading: Trial, route: str) -> Trial:
    """With as much of the trial of a plain reading as is the same after each: acme, of which nothing may be changed,
    and all of it for what only reads."""
    if is_plain_reading(route):
        return structs.replace(reading, route=route)
    if not takes_any_rows(route):
        return await set_up_anew(route, reading.acme.application)
    globex = await make_tenant(reading.acme.application)
    return structs.replace(reading, route=route, globex=globex, own=await furnish(globex, FILLINGS[route]))


@pytest.fixture(scope="module")
async def reading(application: Application) -> Trial:
    return await set_up_anew(A_PLAIN_READING, application)


@pytest.mark.parametrize("route", FILLINGS)
async def test_a_route_keeps_to_its_organization(route: str, reading: Trial) -> None:
    trial = await set_up_beside(reading, route)
    declared = declared_by(dict(handlers(trial.acme.application))[route])
    viewer = await make_member(trial.globex, Role.VIEWER) if route in WRITES else None
    client = await trial.caller()
    before = await trial.state()

    refused = await trial.without_a_token()
    if viewer is not None:
        refused += await trial.as_a_viewer(viewer)
    for name in set(INJECTED) - declared:
        refused += await trial.with_an_injected(name, client)
    assert refused == []
    assert await trial.state() == before

    assert await trial.about_their_rows() == []
    assert await trial.about_its_own_rows() == []
    assert await fingerprint(trial.acme) == before[0]
    assert not is_plain_reading(route) or await trial.state() == before


@pytest.mark.timeout(400)
async def test_the_queries_alone_keep_organizations_apart(scratch: Runtime) -> None:
    """Row security is the second wall. With it down, the tenant predicate that every query carries must do."""
    async with owner_connection(scratch.settings.owner_url) as owner:
        for table in tenant_tables():
            await owner.execute(text(f"ALTER POLICY tenant ON {table.fullname} USING (true) WITH CHECK (true)"))
        await owner.commit()
    application = create_app(scratch)

    async with application.litestar.lifespan():
        reading = await set_up_anew(A_PLAIN_READING, application)
        for route in FILLINGS:
            trial = await set_up_beside(reading, route)
            before = await fingerprint(trial.acme)
            assert await trial.about_their_rows() == []
            assert await trial.about_its_own_rows() == []
            assert await fingerprint(trial.acme) == before, route


async def test_another_organizations_cursor_is_as_good_as_a_forged_one(
    application: Application, acme: Tenant, globex: Tenant
) -> None:
    found = dict(handlers(application))
    lists = [route for route in found.keys() - operators_routes(found) if "cursor" in found[route].opt[KNOWN]]
    assert lists != []

    for route in lists:
        trial = await set_up(route, acme, globex)
        cursor = (await trial.call(acme.client, trial.theirs, query={"limit": 1})).json()["next_cursor"]
        assert cursor is not None or trial.filling.tells_of_none, route
        if cursor is None:
            continue
        answer = await trial.call(globex.client, trial.own, query={"limit": 1, "cursor": cursor})
        to_forged = await trial.call(globex.client, trial.own, query={"limit": 1, "cursor": "Zm9yZ2Vk" * 8})

        assert answer.status_code == 422, route
        assert comparable(answer) == comparable(to_forged)
