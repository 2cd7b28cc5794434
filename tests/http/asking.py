"""Asking every operation of the API: which there are, what each accepts, and what a problem must look like."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from datetime import timedelta
from functools import cache
from string import Formatter
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import httpx
import msgspec
from litestar.datastructures import UploadFile
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Struct, structs
from sqlalchemy import func, literal, select, union_all, update

from core import clock
from core.app import Application
from core.db.database import Database
from core.db.models import Base
from core.http.openapi import document_bytes
from core.identity.credential_models import TotpFactor
from core.identity.directory import add_organization
from core.identity.models import Organization
from core.identity.operator_models import Impersonation
from core.ids import new_id
from core.permissions import Role
from core.testing.tenants import PASSWORD, Tenant, make_member

CONTACTS = "/api/v1/networking/contacts"
IMPORTS = "/api/v1/networking/imports"
TAGS = "/api/v1/networking/tags"
CSV = b"first_name,email\nAda,ada@example.com\nBad,not-an-address\n"

INTERNALS = re.compile(
    r"Traceback|SELECT |INSERT |UPDATE |\.py\b|sqlalchemy|asyncpg|msgspec|plugs_app|regex|0x[0-9a-f]{6}"
)
PROBLEM_KEYS = {"type", "title", "status", "detail", "code", "errors", "conflicts_with", "correlation_id"}


class Operation(Struct, frozen=True):
    handler: HTTPRouteHandler
    method: str
    template: str
    """The path with `{contact_id}` in it."""

    @property
    def id(self) -> str:
        return str(self.handler.operation_id)

    @property
    def is_public(self) -> bool:
        return bool(self.handler.opt.get("public"))

    @property
    def body(self) -> type[Struct] | None:
        data = self.handler.parsed_fn_signature.parameters.get("data")
        return None if data is None else data.annotation

    @property
    def takes_json(self) -> bool:
        return self.body is not None and not self.takes_files

    @property
    def takes_files(self) -> bool:
        body = self.body
        return body is not None and any(UploadFile.__name__ in str(field.type) for field in structs.fields(body))

    @property
    def names(self) -> set[str]:
        """Of the ids in its path."""
        return {name for _, name, _, _ in Formatter().parse(self.template) if name}

    def path(self, ids: Mapping[str, object] = MappingProxyType({})) -> str:
        return filled(self.template, ids)


class _Ids(dict[str, object]):
    def __missing__(self, name: str) -> object:
        return uuid4()


def filled(template: str, ids: Mapping[str, object] = MappingProxyType({})) -> str:
    """A path with these ids in it, and random ones for what they lack."""
    return template.format_map(_Ids(ids))


def operations(application: Application) -> list[Operation]:
    """Every operation of the document, found by its routes."""
    found = [
        Operation(handler, method, re.sub(r":\w+}", "}", route.path))
        for route in application.litestar.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
        if handler.resolve_include_in_schema()
    ]
    assert found
    return found


def valid_body(operation: Operation) -> dict[str, Any]:
    """A body that fits the operation's type: the fields that it must have, by their examples."""
    assert operation.body is not None
    schemas = schemas_of(operation.body)
    return fitting(schemas[operation.body.__name__], schemas)


@cache
def schemas_of(body: type[Struct]) -> Mapping[str, dict[str, Any]]:
    """By the names of the types."""
    return msgspec.json.schema_components([body], ref_template="{name}")[1]


@cache
def document_of(application: Application) -> dict[str, Any]:
    """The document, made once for all tests, which only read it."""
    return msgspec.json.decode(document_bytes(application.litestar))


def fitting(schema: dict[str, Any], schemas: Mapping[str, dict[str, Any]]) -> Any:
    """A value that fits a schema; fails on a kind of schema that it doesn't know."""
    match schema:
        case {"$ref": name}:
            return fitting(schemas[name], schemas)
        case {"examples": [first, *_]} | {"enum": [first, *_]} | {"const": first}:
            return first
        case {"anyOf": [first, *_]}:
            return fitting(first, schemas)
        case {"type": "object"}:
            properties = schema.get("properties", {})
            return {name: fitting(properties[name], schemas) for name in schema.get("required", ())}
        case {"format": "uuid"}:
            return str(uuid4())
        case {"type": "string"}:
            return "a" * max(3, schema.get("minLength", 0))
        case {"type": "array"}:
            return [fitting(schema["items"], schemas) for _ in range(schema.get("minItems", 0))]
        case {"type": "integer" | "number"}:
            return schema.get("minimum", 1)
        case {"type": "boolean"}:
            return True
        case _:
            raise LookupError(schema)


class Known(Struct, frozen=True, kw_only=True):
    """A tenant that has one of everything."""

    tenant: Tenant
    ids: Mapping[str, str]
    """By the name that a path has for it."""

    @property
    def client(self) -> httpx.AsyncClient:
        return self.tenant.client


async def existing_ids(tenant: Tenant, only: Collection[str] | None = None) -> dict[str, str]:
    """One row of the tenant's own for each id that stands in a path; for those in `only`, where it is given."""
    ids = {"name": "networking"}
    for names, make in MAKERS:
        if only is None or not names.isdisjoint(only):
            ids |= await make(tenant)
    return ids


async def _made(tenant: Tenant, path: str, body: Mapping[str, Any] | None = None) -> str:
    return (await tenant.client.post(path, json=body)).json()["id"]


async def _contacts(tenant: Tenant) -> dict[str, str]:
    """Two, the first with something planned."""
    one, other = [await _made(tenant, CONTACTS, {"first_name": name}) for name in ("Ada", "Grace")]
    planned = {"interaction_type": "call", "interaction_date": "2999-01-01T00:00:00Z", "status": "scheduled"}
    interaction = await _made(tenant, f"{CONTACTS}/{one}/interactions", planned)
    return {"contact_id": one, "other_id": other, "interaction_id": interaction}


async def _import(tenant: Tenant) -> dict[str, str]:
    upload = await tenant.client.post(IMPORTS, files={"file": ("contacts.csv", CSV)})
    return {"import_id": upload.json()["id"]}


async def _merge(tenant: Tenant) -> dict[str, str]:
    one, other = [await _made(tenant, CONTACTS, {"first_name": name}) for name in ("One", "Other")]
    return {"merge_id": await _made(tenant, f"{CONTACTS}/{one}/merges", {"other_id": other})}


async def _tags(tenant: Tenant) -> dict[str, str]:
    return {name: await _made(tenant, TAGS, {"name": uuid4().hex}) for name in ("tag_id", "other_tag_id")}


async def _field(tenant: Tenant) -> dict[str, str]:
    name = f"f{uuid4().hex}"
    field = {"key": name, "label": name, "kind": "text"}
    return {"field_id": await _made(tenant, "/api/v1/networking/custom-fields", field)}


async def _view(tenant: Tenant) -> dict[str, str]:
    return {"view_id": await _made(tenant, "/api/v1/networking/views", {"name": "Mine"})}


async def _scores(tenant: Tenant) -> dict[str, str]:
    rules = await tenant.client.put("/api/v1/networking/score-rules", json={"least": -7})
    return {"rules_id": rules.json()["id"], "run_id": await _made(tenant, "/api/v1/networking/score-runs")}


async def between(tenant: Tenant, operation_id: str) -> dict[str, str]:
    """Another member, and what has to be between the two for an operation on it to succeed."""
    other = await make_member(tenant, Role.MEMBER)
    asks, asked = (tenant, other) if operation_id == "cancel_connection" else (other, tenant)
    body = {"user_id": str(asked.user_id)}
    connection = (await asks.client.post("/api/v1/networking/connections", json=body)).json()["id"]
    if operation_id == "remove_connection":
        await asked.client.post(f"/api/v1/networking/connections/{connection}/accept")
    if operation_id == "unblock_person":
        await tenant.client.put(f"/api/v1/networking/people/{other.user_id}/block")
    return {"connection_id": connection, "user_id": str(other.user_id)}


async def _people(tenant: Tenant) -> dict[str, str]:
    """A member with a second factor, in a team and with a role, and somebody who is invited."""
    member, name = await make_member(tenant, Role.VIEWER), uuid4().hex
    user_id = str(member.user_id)
    async with tenant.system() as system:
        await system.execute(
            update(Organization)
            .where(Organization.id == tenant.organization_id)
            .values(subscription_plan="enterprise", version=Organization.version)  # a plan without limits
        )
        system.add(TotpFactor(user_id=member.user_id, seed=b"sealed", confirmed_at=clock.now()))
    team = await _made(tenant, "/api/v1/teams", {"name": name})
    await tenant.client.put(f"/api/v1/teams/{team}/members/{user_id}")
    role = await _made(tenant, "/api/v1/roles", {"name": name, "permissions": []})
    return {
        "user_id": user_id,
        "team_id": team,
        "role_id": role,
        "grant_id": await _made(tenant, "/api/v1/grants", {"user_id": user_id, "role_id": role}),
        "invitation_id": await _made(tenant, "/api/v1/invitations", {"email": f"{name}@example.com"}),
    }


async def _credentials(tenant: Tenant) -> dict[str, str]:
    """An API key, and another session of the same person."""
    data = {"name": "CRM", "scopes": ["networking:read"]}
    key = (await tenant.client.post("/api/v1/api-keys", json=data)).json()["api_key"]["id"]
    login = {"email": tenant.email, "password": PASSWORD}
    (await tenant.client.post("/api/v1/auth/login", json=login)).raise_for_status()
    sessions = (await tenant.client.get("/api/v1/auth/sessions")).json()["items"]
    return {"key_id": key, "session_id": next(session["id"] for session in sessions if not session["current"])}


async def _for_operators(tenant: Tenant) -> dict[str, str]:
    """Another organization, with its short name, and an impersonation of a member."""
    slug, member = f"o-{uuid4().hex[:12]}", await make_member(tenant, Role.VIEWER)
    async with tenant.database.system() as system:
        organization = await add_organization(system, name="Other", slug=slug)
        impersonation = Impersonation(
            id=new_id(),
            organization_id=tenant.organization_id,
            operator_id=tenant.user_id,
            session_id=new_id(),
            user_id=member.user_id,
            reason="Ticket 4711",
            writes=False,
            expires_at=clock.now() + timedelta(minutes=5),
        )
        system.add(impersonation)
    return {"organization_id": str(organization.id), "slug": slug, "impersonation_id": str(impersonation.id)}


MAKERS: tuple[tuple[frozenset[str], Callable[[Tenant], Awaitable[dict[str, str]]]], ...] = (
    (frozenset({"contact_id", "other_id", "interaction_id"}), _contacts),
    (frozenset({"import_id"}), _import),
    (frozenset({"merge_id"}), _merge),
    (frozenset({"tag_id", "other_tag_id"}), _tags),
    (frozenset({"rules_id", "run_id"}), _scores),
    (frozenset({"field_id"}), _field),
    (frozenset({"view_id"}), _view),
    (frozenset({"user_id", "team_id", "role_id", "grant_id", "invitation_id"}), _people),
    (frozenset({"key_id", "session_id"}), _credentials),
    (frozenset({"organization_id", "slug", "impersonation_id"}), _for_operators),
)
"""What each makes, and how."""


def problem_of(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem in an answer; fails where it is none, is another one, or tells something internal."""
    assert answer.status_code == status, answer.text[:2000]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == PROBLEM_KEYS
    assert problem["status"] == status
    assert problem["correlation_id"] == answer.headers["x-correlation-id"] != ""
    assert code is None or problem["code"] == code, problem
    assert not (found := INTERNALS.search(answer.text)), found
    return problem


def codes_of(problem: dict[str, Any]) -> dict[str, str]:
    """The code of each field's error."""
    return {error["field"]: error["code"] for error in problem["errors"]}


async def rows_stored(database: Database) -> dict[str, int]:
    """How many rows each table has, across tenants."""
    counts = [select(literal(name), func.count()).select_from(table) for name, table in Base.metadata.tables.items()]
    async with database.system() as system:
        return {str(row[0]): int(row[1]) for row in await system.execute(union_all(*counts))}


def in_pieces(total: int, pieces: list[int], *, first: bytes = b"") -> Iterator[bytes]:
    """A body of `total` bytes, whose pieces are counted as they are taken."""
    yield first
    for _ in range(total // 65_536):
        pieces.append(65_536)
        yield b"x" * 65_536
