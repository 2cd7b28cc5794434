"""Rules about routes: who may, what is left of them while the module is off, and whose rows they show."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import httpx
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import structs

from core.http.access import MODULE
from core.http.problems import MEDIA_TYPE
from core.testing.attacks import (
    World,
    call,
    changed,
    comparable,
    fingerprint,
    furnish,
    nobodys,
    seen_in,
    with_colleague,
)
from core.testing.conformance.addressing import Addresses
from core.testing.conformance.candidate import Candidate, Rule
from core.testing.fillings import Filling
from core.testing.samples import NoSample, sample
from core.testing.tenants import Tenant
from core.toggles.models import ModuleState


async def every_route_needs_a_permission(candidate: Candidate) -> Sequence[str]:
    """Each route says `guards=[requires(PERMISSION)]`, and the permission is one that the manifest declares."""
    declared = set(candidate.plug.module.permissions)
    found: list[str] = []
    for route, handler in candidate.routes.items():
        guards = cast("list[Any]", handler.resolve_guards())
        needed = [p for guard in guards if (p := getattr(guard, "permission", None)) is not None]
        if not needed:
            found.append(f"{route} needs no permission: give it guards=[requires(…)]")
        found += [f"{route} needs {p.name}, which the manifest doesn't declare" for p in needed if p not in declared]
    return found


async def routes_are_gone_while_it_is_off(candidate: Candidate) -> Sequence[str]:
    """While an organization has the module suspended, each route answers 404 with the code `module-not-enabled`,
    whatever its path holds. The gate sees to it, so long as no route takes itself out of it.
    """
    tenant, _ = await candidate.tenants()
    await candidate.switch(tenant, ModuleState.SUSPENDED)
    found: list[str] = []
    for route, handler in candidate.routes.items():
        answer = await call(route, Filling(path=_path(candidate, route, handler)), tenant.client, nobodys())
        code = _code(answer)
        if (answer.status_code, code) != (404, "module-not-enabled"):
            found.append(f"{route} answers {answer.status_code} {code} while the module is off")
        if handler.opt.get(MODULE) != candidate.name:
            found.append(f"{route} has taken itself out of the module: leave opt[{MODULE!r}] alone")
    return found


async def routes_keep_organizations_apart(candidate: Candidate) -> Sequence[str]:
    """Called with another organization's ids, each route answers as it does for ids that nobody has, shows nothing and
    changes nothing of the other's. Called with its own it succeeds, else that would prove nothing.

    How a route is called is made up from its types; where they don't say enough, its author does:
    `conformance.of(NAME, fillings={OPERATION_ID: Filling(…)})`.
    """
    found: list[str] = []
    acmes, globexs = [_Worlds(candidate, tenant) for tenant in await candidate.tenants()]
    for route, handler in candidate.routes.items():
        try:
            filling = filling_of(candidate, route, handler)
            found += [f"{route} {breach}" for breach in await _attack(candidate, route, filling, acmes, globexs)]
        except NoSample as error:
            found.append(f"{route} can't be called: {error}. {_hint(handler)}")
    return found


def filling_of(candidate: Candidate, route: str, handler: HTTPRouteHandler) -> Filling:
    """The author's, or one that is made of the handler's types. Raises `NoSample`."""
    given = candidate.allowances.fillings.get(str(handler.operation_id))
    if given is not None:
        return given
    lead = Addresses(candidate.tables).lead
    declared = handler.parsed_fn_signature.parameters
    return Filling(
        path=_path(candidate, route, handler),
        query={
            p.field_alias: sample(declared[p.field_name].annotation, lead, field=p.field_name)
            for p in _model(candidate, route, handler).expected_query_params
            if p.is_required
        },
        json=sample(declared["data"].annotation, lead, field="data") if "data" in declared else None,
    )


def _path(candidate: Candidate, route: str, handler: HTTPRouteHandler) -> Mapping[str, Any]:
    """An id leads to a row where its name, or the word before it in the path, says to which."""
    addresses, declared = Addresses(candidate.tables), handler.parsed_fn_signature.parameters
    found: dict[str, Any] = {}
    for parameter in _model(candidate, route, handler).expected_path_params:
        name, before = parameter.field_alias, route.partition(f"/{{{parameter.field_alias}:")[0].rpartition("/")[2]
        led = addresses.of_path(name, before)
        found[name] = led or str(sample(declared[parameter.field_name].annotation, addresses.lead, field=name))
    return found


def _model(candidate: Candidate, route: str, handler: HTTPRouteHandler) -> Any:
    """What Litestar knows of the handler's parameters."""
    found = next(each for each in candidate.application.litestar.routes if each.path == route.partition(" ")[2])
    return next(model for of, model in cast("HTTPRoute", found).route_handler_map.values() if of is handler)


class _Worlds:
    """Rows of one organization for one route after another. Where any will do, and nobody has changed them, they are
    those of the routes before: `used` tells of the changes."""

    def __init__(self, candidate: Candidate, tenant: Tenant) -> None:
        self._candidate = candidate
        self._tenant = tenant
        self._any: World | None = None

    async def of(self, filling: Filling) -> World:
        if filling.rows:
            return await furnish(self._tenant, filling, self._candidate.tables_for(filling))
        if self._any is None:
            self._any = await furnish(self._tenant, Filling(), self._candidate.tables)
        return await with_colleague(self._tenant, self._any) if filling.names_colleague else self._any

    def used(self) -> None:
        self._any = None


async def _attack(candidate: Candidate, route: str, filling: Filling, acmes: _Worlds, globexs: _Worlds) -> list[str]:
    """Globex calls the route about rows of acme, then about rows that nobody has, then about its own."""
    acme, globex = await candidate.tenants()
    theirs, own = await acmes.of(filling), await globexs.of(filling)
    is_reading = route.startswith("GET ")
    if is_reading:
        await call(route, filling, acme.client, theirs)  # what a process remembers is nobody else's either
    before = await fingerprint(acme, [candidate.name])
    booty = structs.replace(theirs, is_attacked=True)
    answer = await call(route, filling, globex.client, booty)
    to_nothing = await call(route, filling, globex.client, nobodys())
    spoilt = changed(before, await fingerprint(acme, [candidate.name]))
    to_own = await call(route, filling, globex.client, own)
    if spoilt:
        acmes.used()
    if not is_reading:
        globexs.used()
    return [
        *([] if to_own.is_success else [f"answers {_told(to_own)} for its own rows, so nothing is proved: {_HINT}"]),
        *(["shows rows of another organization"] if _shown(answer, theirs) or _shown(to_own, theirs) else []),
        *(f"changes {table} of another organization" for table in spoilt),
        *_oracle(filling, answer, to_nothing),
    ]


_HINT = "say how it is called with fillings="


def _shown(answer: httpx.Response, world: World) -> bool:
    """Whether texts of theirs came out: ids that were sent may come back."""
    return bool(seen_in(answer, structs.replace(world, canaries=frozenset({world.mark}))))


def _oracle(filling: Filling, answer: httpx.Response, to_nothing: httpx.Response) -> list[str]:
    """What tells another organization's row from one that doesn't exist."""
    if answer.status_code != to_nothing.status_code:
        return [f"answers {answer.status_code} for another's ids and {to_nothing.status_code} for nobody's"]
    if filling.path_names_rows and answer.status_code != 404:
        return [f"answers {_told(answer)} for another's ids, and should 404"]
    if not answer.is_success and comparable(answer)[2] != comparable(to_nothing)[2]:
        return ["words its refusal of another's ids otherwise than that of nobody's"]
    return []


def _code(answer: httpx.Response) -> str:
    is_problem = answer.headers.get("content-type", "") == MEDIA_TYPE
    return str(answer.json()["code"]) if is_problem else ""


def _told(answer: httpx.Response) -> str:
    return f"{answer.status_code} {answer.text[:300] if not answer.is_success else ''}".strip()


def _hint(handler: HTTPRouteHandler) -> str:
    return f"Say how with fillings={{{handler.operation_id!r}: Filling(…)}}"


RULES: tuple[Rule, ...] = (
    every_route_needs_a_permission,
    routes_are_gone_while_it_is_off,
    routes_keep_organizations_apart,
)
