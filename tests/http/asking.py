"""Asking every operation of the API: which there are, what each accepts, and what a problem must look like."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
from litestar.datastructures import UploadFile
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from msgspec import Struct, structs
from sqlalchemy import func, select

from core.app import Application
from core.db.database import Database
from core.db.models import Base
from core.testing.tenants import PASSWORD, Tenant

CONTACTS = "/api/v1/networking/contacts"
IMPORTS = "/api/v1/networking/imports"
CSV = b"first_name,email\nAda,ada@example.com\nBad,not-an-address\n"

INTERNALS = re.compile(
    r"Traceback|SELECT |INSERT |UPDATE |\.py\b|sqlalchemy|asyncpg|msgspec|plugs_app|regex|0x[0-9a-f]{6}"
)
PROBLEM_KEYS = {"type", "title", "status", "detail", "code", "errors", "correlation_id"}


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

    def path(self, **ids: object) -> str:
        return self.template.format(**ids)


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
    """A body that the operation accepts, new each time. An operation that is not listed here fails its test."""
    name = f"n-{uuid4().hex[:12]}"
    bodies: dict[str, dict[str, Any]] = {
        "register": {
            "email": f"{name}@example.com",
            "password": PASSWORD,
            "first_name": "Ada",
            "last_name": "Lovelace",
            "organization_name": "Engines",
            "organization_slug": name,
        },
        "login": {"email": f"{name}@example.com", "password": PASSWORD},
        "refresh": {"refresh_token": f"plugs_rt_{name}"},
        "create_contact": {"first_name": "Ada", "email": "ada@example.com", "metadata": {"seats": 3}},
        "update_contact": {"company": "Engines"},
        "log_interaction": {"interaction_type": "call", "interaction_date": "2026-03-01T09:30:00+01:00"},
    }
    return bodies[operation.id]


async def existing_ids(tenant: Tenant) -> dict[str, str]:
    """One row of the tenant's own for each id that stands in a path."""
    contact = await tenant.client.post(CONTACTS, json={"first_name": "Ada"})
    upload = await tenant.client.post(IMPORTS, files={"file": ("contacts.csv", CSV)})
    return {"contact_id": contact.json()["id"], "import_id": upload.json()["id"]}


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
    async with database.system() as system:
        return {
            name: await system.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }


def in_pieces(total: int, pieces: list[int], *, first: bytes = b"") -> Iterator[bytes]:
    """A body of `total` bytes, whose pieces are counted as they are taken."""
    yield first
    for _ in range(total // 65_536):
        pieces.append(65_536)
        yield b"x" * 65_536
