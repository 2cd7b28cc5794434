"""What goes wrong inside: the client learns a code and nothing internal, and never of a success that did not happen."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from itertools import batched
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from asking import Operation, codes_of, operations, problem_of, valid_body
from litestar.types import Message
from msgspec import Struct, structs
from serving import WRITE, client_for, serving
from sqlalchemy import text

from core.app import Application
from core.sdk import Ctx, FromPath, JSONBody, NotFound, get, post, requires
from core.settings import Settings
from core.testing.tenants import Tenant, client_of

SECRET = "SELECT password FROM /etc/secret.py"

TABLE = """
CREATE SCHEMA scratch;
CREATE TABLE scratch.notes (id uuid PRIMARY KEY, sqlstate text NOT NULL, CONSTRAINT short CHECK (length(sqlstate) < 6));
CREATE FUNCTION scratch.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'SELECT password FROM /etc/secret.py: %', NEW.id USING ERRCODE = NEW.sqlstate;
END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON scratch.notes DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.sqlstate <> '00000') EXECUTE FUNCTION scratch.refuse();
GRANT USAGE ON SCHEMA scratch TO plugs_app;
GRANT SELECT, INSERT ON scratch.notes TO plugs_app;
"""


class Strict(Struct, forbid_unknown_fields=True):
    number: int
    ratio: float
    flag: bool
    moment: datetime
    key: UUID
    tags: list[str]
    inner: "Inner"


class Inner(Struct, forbid_unknown_fields=True):
    number: int
    others: list["Inner"] = []


class Note(Struct):
    id: UUID
    sqlstate: str


@post("/notes", operation_id="add_note", guards=[requires(WRITE)])
async def add_note(ctx: Ctx, data: JSONBody[Note]) -> dict[str, bool]:
    await ctx.db.execute(
        text("INSERT INTO scratch.notes VALUES (:id, :sqlstate)"), {"id": data.id, "sqlstate": data.sqlstate}
    )
    return {"stored": True}


@post("/strict", operation_id="strict", guards=[requires(WRITE)])
async def strict(ctx: Ctx, data: JSONBody[Strict]) -> None: ...


@get("/raise/{kind:str}", operation_id="raise_error", guards=[requires(WRITE)])
async def raise_error(ctx: Ctx, kind: FromPath[str]) -> None:
    errors: dict[str, BaseException] = {
        "runtime": RuntimeError(SECRET),
        "type": TypeError(SECRET),
        "key": KeyError(SECRET),
        "lookup": LookupError(SECRET),
        "recursion": RecursionError(SECRET),
        "memory": MemoryError(SECRET),
        "group": ExceptionGroup(SECRET, [ValueError(SECRET)]),
        "assertion": AssertionError(SECRET),
    }
    raise errors.get(kind) or NotFound


@pytest.fixture
async def scratch(settings: Settings) -> "AsyncGenerator[asyncpg.Connection[asyncpg.Record]]":
    """A table whose rows are refused when they are committed, with the SQLSTATE that they name."""
    connection = await asyncpg.connect(settings.owner_url)
    try:
        await connection.execute(TABLE)
        yield connection
    finally:
        await connection.execute("DROP SCHEMA IF EXISTS scratch CASCADE")
        await connection.close()


@pytest.fixture(scope="module")
async def failing(settings: Settings) -> AsyncGenerator[Application]:
    """An application in which things go wrong."""
    async with serving(settings, raise_error, add_note, strict) as application:
        yield application


KINDS = ("runtime", "type", "key", "lookup", "recursion", "memory", "group", "assertion")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_that_nobody_foresaw_tells_nothing(failing: Application, acme: Tenant, kind: str) -> None:
    async with client_for(failing, acme) as client:
        answer = await client.get(f"/api/v1/scratch/raise/{kind}")

    assert problem_of(answer, 500, "internal-error")["detail"] == "Something went wrong on our side"
    assert "secret" not in answer.text


COMMITS = {
    "23503": (409, "reference"),
    "23505": (409, "already-exists"),
    "23514": (422, "invalid"),
    "40001": (409, "try-again"),
    "40P01": (409, "try-again"),
    "57014": (503, "too-slow"),
    "53100": (503, "unavailable"),
    "22P02": (422, "invalid"),
    "P0001": (500, "internal-error"),
    "42501": (500, "internal-error"),
}


@pytest.mark.parametrize(("sqlstate", "expected"), COMMITS.items())
async def test_a_commit_that_fails_is_never_a_success(
    failing: Application,
    acme: Tenant,
    scratch: "asyncpg.Connection[asyncpg.Record]",
    sqlstate: str,
    expected: tuple[int, str],
) -> None:
    async with client_for(failing, acme) as client:
        good, bad = str(uuid4()), str(uuid4())
        answer = await client.post("/api/v1/scratch/notes", json={"id": bad, "sqlstate": sqlstate})
        after = await client.post("/api/v1/scratch/notes", json={"id": good, "sqlstate": "00000"})

    problem_of(answer, *expected)
    assert "secret" not in answer.text
    assert after.status_code == 201
    assert [str(row["id"]) for row in await scratch.fetch("SELECT id FROM scratch.notes")] == [good]


async def test_a_commit_that_fails_is_answered_once(
    failing: Application, acme: Tenant, scratch: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """On the wire: one start and one body. What the route meant to answer is not sent after the problem."""
    body = json.dumps({"id": str(uuid4()), "sqlstate": "23503"}).encode()
    headers = {"authorization": acme.client.headers["authorization"], "content-type": "application/json"}
    sent: list[Message] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/scratch/notes",
        "raw_path": b"/api/v1/scratch/notes",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await failing(scope, receive, send)  # type: ignore[arg-type]

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 409  # type: ignore[typeddict-item]


async def test_a_statement_that_fails_tells_nothing_of_the_table(
    failing: Application, acme: Tenant, scratch: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with client_for(failing, acme) as client:
        answer = await client.post("/api/v1/scratch/notes", json={"id": str(uuid4()), "sqlstate": "too long"})

    problem_of(answer, 422, "invalid")
    assert "short" not in answer.text
    assert "notes" not in answer.text


FITTING: dict[str, object] = {
    "number": 5,
    "ratio": 0.5,
    "flag": True,
    "moment": "2026-03-01T09:30:00Z",
    "key": "01a1fbda-c3f4-71b0-a2d3-c865b43520b7",
    "tags": ["a"],
    "inner": {"number": 1},
}
LAX: dict[str, object] = {
    "number": "5",
    "ratio": "0.5",
    "flag": "true",
    "moment": 1_700_000_000,
    "key": 5,
    "tags": "a,b",
    "inner": {"number": 5.5, "others": [{"number": 1}, {"number": True}, {"zzz": 1}]},
}


async def test_what_looks_like_a_number_is_none(failing: Application, acme: Tenant) -> None:
    async with client_for(failing, acme) as client:
        assert (await client.post("/api/v1/scratch/strict", json=FITTING)).status_code == 201
        for field, value in LAX.items():
            answer = await client.post("/api/v1/scratch/strict", json=FITTING | {field: value})

            codes = codes_of(problem_of(answer, 422, "invalid"))
            assert all(name.split(".")[0] == field for name in codes), codes


async def test_every_misfit_is_named_down_to_the_innermost(failing: Application, acme: Tenant) -> None:
    async with client_for(failing, acme) as client:
        answer = await client.post("/api/v1/scratch/strict", json=LAX)

    assert codes_of(problem_of(answer, 422, "invalid")) == {
        "number": "type",
        "ratio": "type",
        "flag": "type",
        "moment": "type",
        "key": "type",
        "tags": "type",
        "inner.number": "type",
        "inner.others.1.number": "type",
        "inner.others.2.number": "required",
        "inner.others.2.zzz": "unknown",
    }


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word, as a server behind a broken network does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield listener.getsockname()[1]


def without_database(settings: Settings, port: int) -> Settings:
    url = f"postgresql://nobody:secret@127.0.0.1:{port}/nothing"
    return structs.replace(settings, database_url=url, database_system_url="", database_owner_url="")


async def timed(asked: Any) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    return await asked, time.monotonic() - started


async def test_every_operation_says_when_to_come_back_while_postgresql_is_away(
    settings: Settings, acme: Tenant, closed_port: int
) -> None:
    async with serving(without_database(settings, closed_port)) as application, client_for(application, acme) as client:

        async def ask(operation: Operation) -> tuple[Operation, httpx.Response, float]:
            body: dict[str, Any] = {"json": valid_body(operation)} if operation.takes_json else {}
            if operation.takes_files:
                body = {"files": {"file": ("contacts.csv", b"first_name\nAda\n")}}
            return operation, *await timed(client.request(operation.method, operation.path(), **body))

        silent = {"health_live", "health_redis", "metrics", "list_oidc_providers"}  # they ask nothing of PostgreSQL
        silent |= {"start_oidc", "finish_oidc", "finish_oidc_with_second_factor"}  # nor these of a service unknown
        asked = [operation for operation in operations(application) if operation.id not in silent]
        answers = [answer for few in batched(asked, 8) for answer in await asyncio.gather(*map(ask, few))]

    for operation, answer, seconds in answers:
        problem_of(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        assert seconds < 3, operation.id
        assert "nobody" not in answer.text


async def test_a_postgresql_that_says_nothing_is_given_up_within_three_seconds(
    settings: Settings, acme: Tenant, silent_port: int
) -> None:
    paths = ("/api/v1/networking/contacts", "/api/v1/users/me", "/health/ready", "/health", "/health/db")
    async with serving(without_database(settings, silent_port)) as application, client_for(application, acme) as client:
        answers = await asyncio.gather(*(timed(client.get(path)) for path in paths for _ in range(4)))

    for answer, seconds in answers:
        problem_of(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        assert seconds < 3


async def test_liveness_asks_nothing_of_postgresql(settings: Settings, closed_port: int) -> None:
    async with serving(without_database(settings, closed_port)) as application, client_of(application) as client:
        live, ready = await client.get("/health/live"), await client.get("/health/ready")

    assert (live.status_code, live.json()["status"]) == (200, "ok")
    assert [error["field"] for error in problem_of(ready, 503, "failing")["errors"]] == ["database"]


async def test_an_application_that_stops_is_alive_and_not_ready(settings: Settings) -> None:
    async with serving(settings) as application, client_of(application) as client:
        application.litestar.state.health.stopping = True
        live, ready = await client.get("/health/live"), await client.get("/health/ready")

    assert live.status_code == 200
    assert problem_of(ready, 503, "failing")["errors"] == [
        {"field": "process", "code": "failing", "message": "stopping"}
    ]
