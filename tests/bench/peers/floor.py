"""The floor: raw ASGI, asyncpg and msgspec in one process, with our own SQL; no authentication, no row security.

BENCH_SQL names a JSON file with the statements, each `{"sql": …, "names": […]}` with the order of its parameters.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import asyncpg
import msgspec
from msgspec import Struct

EVERYTHING = [UUID(int=0)]
"""Whose eyes see every contact, as an owner's do."""
JSON = [(b"content-type", b"application/json")]


class ContactIn(Struct):
    first_name: str
    last_name: str | None = None
    email: str | None = None
    company: str | None = None
    job_title: str | None = None


DECODER = msgspec.json.Decoder(ContactIn)
STATEMENTS: dict[str, Any] = msgspec.json.decode(Path(os.environ["BENCH_SQL"]).read_bytes())
POOL: dict[str, "asyncpg.Pool[asyncpg.Record]"] = {}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    status, body = await answer(scope, receive)
    headers = [*JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def live(receive: Any, send: Any) -> None:
    await receive()
    pool = asyncpg.create_pool(os.environ["BENCH_DATABASE_URL"], min_size=1, max_size=10)
    POOL["pool"] = await pool
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await POOL["pool"].close()
    await send({"type": "lifespan.shutdown.complete"})


async def answer(scope: dict[str, Any], receive: Any) -> tuple[int, bytes]:
    tenant = UUID(dict(scope["headers"])[b"x-tenant"].decode())
    path: str = scope["path"]
    if scope["method"] == "POST":
        return 201, await create(tenant, (await receive())["body"])
    if path == "/contacts":
        query = dict(parse_qsl(scope["query_string"].decode()))
        if "q" in query:
            return 200, await search(tenant, query["q"], query["status"])
        return 200, await page("list", {"tenant": tenant, "fetch": 21, "viewer": EVERYTHING})
    return 200, await one(tenant, UUID(path.rpartition("/")[2]))


async def fetch(name: str, values: dict[str, Any]) -> list[Any]:
    statement = STATEMENTS[name]
    async with POOL["pool"].acquire() as connection:
        return await connection.fetch(statement["sql"], *(values[given] for given in statement["names"]))


async def search(tenant: UUID, word: str, status: str) -> bytes:
    """The statement calls the function that ours calls, and that reads the tenant from the connection."""
    statement = STATEMENTS["search"]
    values = {
        "tenant": tenant, "fetch": 21, "viewer": EVERYTHING, "status": status,
        "q": [f"%{word}%"], "words": [word], "whole": word, "query": f"'{word}':*",
    }  # fmt: skip
    async with POOL["pool"].acquire() as connection:
        await connection.execute("SELECT set_config('app.organization_id', $1, false)", str(tenant))
        rows = await connection.fetch(statement["sql"], *(values[given] for given in statement["names"]))
    return b'{"items":[%s],"next_cursor":null}' % ",".join(row[0] for row in rows[:20]).encode()


async def page(name: str, values: dict[str, Any]) -> bytes:
    rows = [row[0] for row in await fetch(name, values)]
    return b'{"items":[%s],"next_cursor":null}' % ",".join(rows[:20]).encode()


async def one(tenant: UUID, contact_id: UUID) -> bytes:
    row = (await fetch("get", {"tenant": tenant, "row_id": contact_id, "viewer": EVERYTHING}))[0]
    return msgspec.json.encode({**row, "metadata": msgspec.Raw(row["metadata"].encode())})


async def create(tenant: UUID, body: bytes) -> bytes:
    data = DECODER.decode(body)
    contact_id = uuid4()
    async with POOL["pool"].acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            STATEMENTS["create"]["sql"],
            tenant, contact_id, data.first_name, data.last_name, data.email, data.company, data.job_title,
        )  # fmt: skip
        event = msgspec.json.encode({"contact_id": contact_id}).decode()
        await connection.execute(STATEMENTS["event"]["sql"], tenant, uuid4(), event)
        await connection.execute(STATEMENTS["job"]["sql"], tenant, uuid4(), event)
    return row[0].encode()
