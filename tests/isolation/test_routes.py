"""Every route, called with another organization's ids: nothing of it comes out, nothing of it changes.

A route that is neither in `FILLINGS` nor in `PUBLIC` fails, so that none can be added without saying how it is called.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

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
from core.http.routers import handlers_in
from core.permissions import Role
from core.runtime import Runtime
from core.testing import attacks
from core.testing.attacks import World, comparable, fingerprints, nobodys, seen_in
from core.testing.fillings import Filling
from core.testing.rows import ORGANIZATION, tenant_tables
from core.testing.tenants import Tenant, client_of, make_member, make_tenant

WRITES = [route for route in FILLINGS if not route.startswith("GET ") and route not in PERSONAL]
INJECTED = ("organization_id", "id", "role")
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
    found = dict(handlers_in(application.litestar.routes))

    assert {route for route, handler in found.items() if handler.opt.get("public")} == PUBLIC
    assert set(found) - PUBLIC - CROSSING - STEPPED - operators_routes(found) == set(FILLINGS)


def test_every_route_that_is_not_public_says_who_may_call_it(application: Application) -> None:
    found = {
        route: [getattr(guard, "func", guard) for guard in handler.resolve_guards()]
        for route, handler in handlers_in(application.litestar.routes)
    }

    says = {r: [g is signed_in or _permission_of(g) or getattr(g, "platform", None) for g in found[r]] for r in found}
    unguarded = {route for route, said in says.items() if not any(said)}
    assert unguarded == PUBLIC
    assert {route for route, guards in found.items() if signed_in in guards} == PERSONAL


def _permission_of(guard: Any) -> str | None:
    permission = getattr(guard, "permission", None)
    return permission and permission.name


class Ground(Struct, kw_only=True):
    """Where routes are tried, one after another: acme, of which none may show or change anything, and what they may
    be tried in without harm."""

    acme: Tenant
    globex: Tenant
    viewer: Tenant
    """Of globex."""
    theirs: World
    """Acme's."""
    own: World
    """Globex's."""
    known: dict[UUID, dict[str, str]] = {}
    """How each organization was when somebody looked at it last."""

    def refusals(self, route: str) -> "Trial":
        """For what is refused before the route looks at any row."""
        return Trial(route=route, acme=self.acme, globex=self.globex, theirs=self.theirs, own=self.own)

    async def trial(self, route: str) -> "Trial":
        """For all the rest: what writes has an organization of its own, what needs other rows has two."""
        trial, filling = self.refusals(route), FILLINGS[route]
        if filling.rows:
            acme = await make_tenant(self.acme.application)
            trial = structs.replace(trial, acme=acme, theirs=await furnish(acme, filling))
        elif filling.names_colleague:
            trial = structs.replace(trial, theirs=await attacks.with_colleague(self.acme, self.theirs))
        if not is_plain_reading(route):
            globex = await make_tenant(self.acme.application)
            trial = structs.replace(trial, globex=globex, own=await furnish(globex, filling))
        if trial.theirs is not self.theirs:
            await self.look(trial.acme)
        return trial

    async def look(self, *more: Tenant) -> list[str]:
        """The tables in which anything of acme, of globex or of more is not as it was at the last look at them."""
        looked_at = {tenant.organization_id: tenant for tenant in (self.acme, self.globex, *more)}
        found = dict(zip(looked_at, await fingerprints(list(looked_at.values())), strict=True))
        before, self.known = self.known, self.known | found
        return [table for each in found for table in attacks.changed(before.get(each, found[each]), found[each])]


async def make_ground(application: Application) -> Ground:
    acme, globex = await make_tenant(application), await make_tenant(application)
    viewer = await make_member(globex, Role.VIEWER)
    theirs, own = await furnish(acme, Filling()), await furnish(globex, Filling())
    ground = Ground(acme=acme, globex=globex, viewer=viewer, theirs=theirs, own=own)
    await ground.look()
    return ground


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

    async def without_a_token(self) -> list[str]:
        async with client_of(self.globex.application) as anonymous:
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

    async def with_an_injected(self, name: str) -> list[str]:
        """An organization, an id or a role that the route has not asked for, in the query and in the body."""
        value = {name: "owner" if name == "role" else str(self.acme.organization_id)}
        answer = await self.call(self.globex.client, self.own, query=value)
        found = wrongs(answer, query=refuses(answer) and answer.json()["errors"][0]["field"] == name)
        if self.filling.json is None and self.filling.files is None:
            return found
        answer = await self.call(self.globex.client, self.own, body=value)
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


@pytest.fixture(scope="module")
async def ground(application: Application) -> Ground:
    return await make_ground(application)


@pytest.mark.parametrize("route", FILLINGS)
async def test_a_route_keeps_to_its_organization(route: str, ground: Ground) -> None:
    declared = declared_by(dict(handlers_in(ground.acme.application.litestar.routes))[route])
    trial, refusals = await ground.trial(route), ground.refusals(route)

    refused = await refusals.without_a_token()
    if route in WRITES:
        refused += await refusals.as_a_viewer(ground.viewer)
    for name in set(INJECTED) - declared:
        refused += await refusals.with_an_injected(name)
    assert (refused, await ground.look()) == ([], [])

    wrong = await trial.about_their_rows() + await trial.about_its_own_rows()
    assert (wrong, await ground.look(trial.acme)) == ([], [])


@pytest.mark.timeout(400)
async def test_the_queries_alone_keep_organizations_apart(scratch: Runtime) -> None:
    """Row security is the second wall. With it down, the tenant predicate that every query carries must do."""
    async with owner_connection(scratch.settings.owner_url) as owner:
        for table in tenant_tables():
            await owner.execute(text(f"ALTER POLICY tenant ON {table.fullname} USING (true) WITH CHECK (true)"))
        await owner.commit()
    application = create_app(scratch)

    async with application.litestar.lifespan():
        ground = await make_ground(application)
        for route in FILLINGS:
            trial = await ground.trial(route)
            wrong = await trial.about_their_rows() + await trial.about_its_own_rows()
            assert (wrong, await ground.look(trial.acme)) == ([], []), route


async def test_another_organizations_cursor_is_as_good_as_a_forged_one(ground: Ground) -> None:
    found = dict(handlers_in(ground.acme.application.litestar.routes))
    lists = [route for route in found.keys() - operators_routes(found) if "cursor" in found[route].opt[KNOWN]]
    assert lists != []

    for route in lists:
        trial = await ground.trial(route)
        cursor = (await trial.call(trial.acme.client, trial.theirs, query={"limit": 1})).json()["next_cursor"]
        assert cursor is not None or trial.filling.tells_of_none, route
        if cursor is None:
            continue
        answer = await trial.call(trial.globex.client, trial.own, query={"limit": 1, "cursor": cursor})
        to_forged = await trial.call(trial.globex.client, trial.own, query={"limit": 1, "cursor": "Zm9yZ2Vk" * 8})

        assert answer.status_code == 422, route
        assert comparable(answer) == comparable(to_forged)
