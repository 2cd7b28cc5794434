"""Limits of time: 503 for a route that takes too long, 408 for a body that trickles in, and nothing half-done."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from asking import CONTACTS, problem_of
from msgspec import structs
from serving import WRITE, client_for, serving
from sqlalchemy import text

from core.db.database import Database
from core.sdk import Ctx, Stream, get, post, requires
from core.settings import Settings
from core.testing.processes import Deployment, free_port
from core.testing.tenants import Tenant

BRIEF = 0.3
LONG = 20
"""Seconds. Whatever is over in half of that was given up, however busy the machine is."""
TEAMS = "/api/v1/teams"
EFFECT = text("INSERT INTO core.teams (organization_id, id, name) VALUES (:organization, gen_random_uuid(), 'slow')")


@post("/slow", operation_id="slow", guards=[requires(WRITE)])
async def slow(ctx: Ctx) -> None:
    await ctx.db.execute(EFFECT, {"organization": ctx.organization_id})
    await ctx.db.execute(text(f"SELECT pg_sleep({LONG})"))


@get("/stream", operation_id="long_stream", guards=[requires(WRITE)])
async def stream(ctx: Ctx) -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(6):
            await asyncio.sleep(BRIEF / 3)
            yield b"x"

    return Stream(chunks(), media_type="text/plain")


async def test_time_a_request_that_takes_too_long_is_given_up_with_503(
    settings: Settings, acme: Tenant, database: Database
) -> None:
    own = structs.replace(settings, request_seconds=BRIEF, database_pool=1)
    async with serving(own, slow) as application, client_for(application, acme) as client:
        began = time.perf_counter()
        answer = await client.post("/api/v1/scratch/slow")
        took = time.perf_counter() - began
        after = await client.post(TEAMS, json={"name": "after"})

    problem_of(answer, 503, "request-timeout")
    assert answer.headers["retry-after"] == "2"
    assert took < LONG / 2
    assert after.status_code == 201, "the one connection of the pool is free again"
    async with database.system() as system:
        left = text("SELECT name FROM core.teams WHERE organization_id = :organization")
        assert list(await system.scalars(left, {"organization": acme.organization_id})) == ["after"]


async def test_time_a_stream_goes_on_as_long_as_it_likes(settings: Settings, acme: Tenant) -> None:
    own = structs.replace(settings, request_seconds=BRIEF)
    async with serving(own, stream) as application, client_for(application, acme) as client:
        answer = await client.get("/api/v1/scratch/stream")

    assert (answer.status_code, answer.content) == (200, b"xxxxxx")


async def trickle(pieces: int, pause: float) -> AsyncIterator[bytes]:
    """A valid body, so that nothing but its pace is wrong with it."""
    yield b'{"first_name": "'
    for _ in range(pieces):
        await asyncio.sleep(pause)
        yield b"A"
    yield b'"}'


async def sent(settings: Settings, tenant: Tenant, body: AsyncIterator[bytes]) -> httpx.Response:
    async with serving(settings) as application, client_for(application, tenant) as client:
        return await client.post(CONTACTS, content=body, headers={"content-type": "application/json"})


async def test_time_a_body_that_trickles_is_given_up_with_408(settings: Settings, acme: Tenant) -> None:
    began = time.perf_counter()
    answer = await sent(structs.replace(settings, body_seconds=BRIEF), acme, trickle(LONG * 20, 0.05))

    assert problem_of(answer, 408, "body-too-slow")
    assert answer.headers["connection"] == "close"
    assert time.perf_counter() - began < LONG / 2


async def test_time_that_a_client_takes_is_not_the_routes(settings: Settings, acme: Tenant) -> None:
    own = structs.replace(settings, body_seconds=10, request_seconds=BRIEF)

    answer = await sent(own, acme, trickle(10, BRIEF / 5))

    assert answer.status_code == 201


async def test_time_a_trickling_client_is_disconnected(settings: Settings, acme: Tenant, tmp_path: Path) -> None:
    """Over a real connection: it must not be held for as long as the client likes."""
    own = structs.replace(settings, port=free_port(), log_level="info", body_seconds=BRIEF)
    authorization = acme.client.headers["authorization"]
    head = (
        f"POST {CONTACTS} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
    )
    with Deployment(own, tmp_path) as deployment:
        await deployment.start_api()
        received, took = await asyncio.to_thread(_trickle_over, own.port, head.encode())

    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"body-too-slow" in received
    assert took < 5


def _trickle_over(port: int, head: bytes) -> tuple[bytes, float]:
    """A byte now and then, until the server hangs up; returns what it said."""
    began, received = time.perf_counter(), b""
    with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
        connection.sendall(head)
        while time.perf_counter() - began < 10:
            try:
                if not (chunk := connection.recv(65_536)):
                    break
                received += chunk
            except TimeoutError:
                connection.sendall(b" ")
            except ConnectionError:
                break
    return received, time.perf_counter() - began


async def test_a_pool_that_is_exhausted_is_told_to_come_back(settings: Settings, acme: Tenant) -> None:
    """Concurrency is bounded by the pool: what finds no connection within a second gets 503 and Retry-After."""
    own = structs.replace(settings, database_pool=1, request_seconds=3)
    async with serving(own, slow) as application, client_for(application, acme) as client:
        holding = asyncio.create_task(client.post("/api/v1/scratch/slow"))
        await asyncio.sleep(0.3)
        answers: list[Any] = await asyncio.gather(
            *(client.post(TEAMS, json={"name": str(number)}) for number in range(10))
        )
        await holding

    assert {answer.status_code for answer in answers} == {503}
    assert all(problem_of(answer, 503, "unavailable") and answer.headers["retry-after"] for answer in answers)
