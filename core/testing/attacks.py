"""One organization goes after another's rows: what each of them has, how a route is called, and what came out of it."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import httpx
from msgspec import Struct, structs
from sqlalchemy import ARRAY, Table, TextClause, Uuid, bindparam, text

from core.db.models import Base
from core.ids import new_id
from core.permissions import Role
from core.testing.fillings import Caller, Colleague, Filling, Fresh, Id, Loose, Mark, Slug
from core.testing.rows import ORGANIZATION, Rows, tables_in_order
from core.testing.tenants import Tenant, make_member

ROWS_PER_TABLE = 2
NOBODY = UUID(int=0)


class World(Struct, frozen=True, kw_only=True):
    """What can be said of one organization: the ids of its rows, and the texts that are its alone."""

    rows: Mapping[str, Mapping[str, Any]]
    """The first row of each table."""
    mark: str
    slug: str
    canaries: frozenset[str] = frozenset()
    colleague: UUID = NOBODY
    """Another member, where the filling names one."""
    is_attacked: bool = False
    """Whether its ids are somebody else's booty: then even those that needn't be its own are."""

    def fill(self, template: Any) -> Any:
        match template:
            case Id():
                return str(self.rows[template.table][template.column])
            case Colleague():
                return str(self.colleague)
            case Loose():
                return str(self.rows[template.table][template.column] if self.is_attacked else new_id())
            case Mark():
                return self.mark
            case Slug():
                return self.slug
            case Fresh():
                return f"n-{uuid4().hex[:12]}{template.ending}"
            case list():
                return [self.fill(part) for part in template]  # pyright: ignore[reportUnknownVariableType]
            case Mapping():
                return {name: self.fill(value) for name, value in template.items()}  # pyright: ignore[reportUnknownVariableType]
            case _:
                return template


async def furnish(tenant: Tenant, filling: Filling, tables: Iterable[Table]) -> World:
    """Rows in every table, with the organization's mark in every text."""
    mark = f"canary{uuid4().hex}"
    rows = Rows(tenant.organization_id, mark=mark)
    for table in tables:
        given = filling.rows.get(table.fullname, {})
        values = {name: tenant.user_id if value == Caller() else value for name, value in given.items()}
        for _ in range(ROWS_PER_TABLE):
            rows.add(table, **values)
    async with tenant.database.system() as system:
        await rows.write(system)
    first = {table: made[0] for table, made in rows.made.items()}
    ids = [row["id"] for row in first.values() if "id" in row]
    known = [mark, tenant.slug, tenant.email, tenant.organization_id, tenant.user_id, *ids]
    canaries = frozenset(str(each).lower() for each in known)
    world = World(rows=first, mark=mark, slug=tenant.slug, canaries=canaries)
    return await with_colleague(tenant, world) if filling.names_colleague else world


async def with_colleague(tenant: Tenant, world: World) -> World:
    return structs.replace(world, colleague=(await make_member(tenant, Role.MEMBER)).user_id)


def nobodys() -> World:
    name = f"canary{uuid4().hex}"
    return World(rows=defaultdict(lambda: defaultdict(new_id)), mark=name, slug=name, colleague=new_id())


async def call(
    route: str,
    filling: Filling,
    client: httpx.AsyncClient,
    world: World,
    *,
    query: Mapping[str, Any] | None = None,
    body: Mapping[str, Any] | None = None,
) -> httpx.Response:
    """Call the route as its filling says, about the rows of `world`; `query` replaces its own, `body` is added."""
    method, path = route.split(" ")
    values = world.fill(filling.path)
    url = re.sub(r"{(\w+):\w+}", lambda parameter: values[parameter[1]], path)
    json = None if filling.json is None and body is None else {**world.fill(filling.json or {}), **(body or {})}
    content: dict[str, Any] = {"json": json} if filling.files is None else {"files": filling.files, "data": body}
    return await client.request(method, url, params=world.fill(filling.query if query is None else query), **content)


async def fingerprint(tenant: Tenant, only: Collection[str] = ()) -> dict[str, str]:
    """A hash of all that there is of an organization, table by table; of the schemas in `only` where there are any."""
    return (await fingerprints([tenant], only))[0]


async def fingerprints(tenants: Sequence[Tenant], only: Collection[str] = ()) -> list[dict[str, str]]:
    """That of each. A table in which an organization has no rows isn't in it."""
    found: dict[UUID, dict[str, str]] = {tenant.organization_id: {} for tenant in tenants}
    async with tenants[0].database.system() as system:
        hashes = await system.execute(_hashing(len(Base.metadata.tables), frozenset(only)), {"ids": list(found)})
        for organization_id, table, hashed in hashes:
            found[organization_id][table] = hashed
    return list(found.values())


@cache
def _hashing(_imported: int, only: frozenset[str]) -> TextClause:
    hashes: list[str] = []
    for table in tables_in_order():
        is_platforms = ORGANIZATION not in table.c and table.fullname != "core.organizations"
        if not is_platforms and (not only or table.schema in only):
            column = ORGANIZATION if ORGANIZATION in table.c else "id"
            rows = f"FROM {table.fullname} t WHERE {column} = ANY(:ids) GROUP BY {column}"
            hashes.append(f"SELECT {column}, '{table.fullname}', md5(string_agg(t::text, '' ORDER BY t::text)) {rows}")
    return text(" UNION ALL ".join(hashes)).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The tables whose fingerprints differ."""
    return [table for table in sorted({*before, *after}) if before.get(table) != after.get(table)]


async def row_counts(tenant: Tenant, tables: Sequence[Table]) -> dict[str, int]:
    """How many rows an organization has in each of the tables."""
    if not tables:
        return {}
    counts = [f"(SELECT count(*) FROM {table.fullname} WHERE {ORGANIZATION} = :id)" for table in tables]
    async with tenant.database.system() as system:
        found = await system.execute(text(f"SELECT {', '.join(counts)}"), {"id": tenant.organization_id})
        return dict(zip((table.fullname for table in tables), found.one(), strict=True))


def comparable(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """The answer but for what differs from one request to the next."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-correlation-id"}
    body = answer.json() if answer.headers.get("content-type", "").endswith("json") else answer.text
    if isinstance(body, dict):
        body.pop("correlation_id", None)  # pyright: ignore[reportUnknownMemberType]
    return answer.status_code, headers, body  # pyright: ignore[reportUnknownVariableType]


def seen_in(answer: httpx.Response, world: World) -> set[str]:
    """The canaries that came out."""
    whole = f"{answer.text} {answer.headers}".lower()
    return {canary for canary in world.canaries if canary in whole}
