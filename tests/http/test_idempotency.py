"""Idempotency keys: however often a request is sent, it has one effect, and everybody who sent it gets one answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from asking import CONTACTS, IMPORTS, operations, problem_of, valid_body
from litestar import Response
from msgspec import structs
from serving import WRITE, client_for, serving
from sqlalchemy import func, select, text, update

from core import clock
from core.app import Application
from core.db.database import Database
from core.http.idempotency import ANSWER_BYTES, HEADER, MUTATING, NO_KEY, REPLAYED, takes_key
from core.http.idempotency_models import IdempotencyKey
from core.identity.models import Membership
from core.permissions import Role
from core.runtime import CORE_SWEEPS
from core.sdk import Ctx, Stream, post, requires
from core.settings import Settings
from core.tasks.models import DomainEvent
from core.tasks.schedule import Scheduler
from core.testing.processes import Deployment, free_port
from core.testing.tenants import Tenant, make_member
from core.testing.waiting import until

ADA = {"first_name": "Ada"}


def key() -> dict[str, str]:
    return {HEADER: uuid4().hex}


async def contacts_of(database: Database, organization_id: UUID) -> int:
    async with database.system() as system:
        wanted = text("SELECT count(*) FROM networking.contacts WHERE organization_id = :organization")
        return await system.scalar(wanted, {"organization": organization_id}) or 0


async def kept_for(database: Database, organization_id: UUID) -> list[IdempotencyKey]:
    async with database.system() as system:
        found = await system.scalars(select(IdempotencyKey).where(IdempotencyKey.organization_id == organization_id))
        return list(found)


async def events_of(database: Database, organization_id: UUID) -> int:
    async with database.system() as system:
        wanted = select(func.count()).where(DomainEvent.organization_id == organization_id)
        return await system.scalar(wanted) or 0


async def test_idempotency_keys_50_in_parallel_make_one_row_and_one_answer(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """On two processes that share nothing but the database."""
    async with AsyncExitStack() as stack:
        deployments: list[Deployment] = []
        for number in range(2):
            directory = tmp_path / str(number)
            directory.mkdir()
            deployments.append(Deployment(structs.replace(settings, port=free_port(), log_level="info"), directory))
            stack.enter_context(deployments[number])
        await asyncio.gather(*(deployment.start_api() for deployment in deployments))
        member = await deployments[0].make_member(database, f"t-{uuid4().hex[:12]}")
        token = member.client.headers["authorization"].removeprefix("Bearer ")
        other = await stack.enter_async_context(deployments[1].client(token))
        clients, one = [await stack.enter_async_context(member.client), other], key()

        answers = await asyncio.gather(
            *(clients[number % 2].post(CONTACTS, json=ADA, headers=one) for number in range(50))
        )
        late = [await client.post(CONTACTS, json=ADA, headers=one) for client in clients]

    assert {answer.status_code for answer in answers} <= {201, 409, 503}  # a busy machine's pools may be exhausted
    for refused in (answer for answer in answers if answer.status_code == 409):
        assert problem_of(refused, 409, "idempotency-key-in-progress")
        assert refused.headers["retry-after"] == "1"
    succeeded = [answer for answer in [*answers, *late] if answer.status_code == 201]
    assert {answer.content for answer in succeeded} == {late[0].content}
    assert [answer.headers.get(REPLAYED) for answer in succeeded].count(None) == 1
    assert await contacts_of(database, member.organization_id) == 1
    assert len(await kept_for(database, member.organization_id)) == 1
    assert await events_of(database, member.organization_id) == 1


async def test_a_crash_half_way_leaves_nothing_and_the_retry_works(
    settings: Settings, database: Database, acme: Tenant, tmp_path: Path
) -> None:
    contact = (await acme.client.post(CONTACTS, json=ADA)).json()["id"]
    path, change, one = f"{CONTACTS}/{contact}", {"company": "Analytical Engines"}, key()
    with Deployment(structs.replace(settings, port=free_port(), log_level="info"), tmp_path) as deployment:
        process = await deployment.start_api()
        token = acme.client.headers["authorization"].removeprefix("Bearer ")
        async with deployment.client(token) as client, database.system() as system:
            lock = text("SELECT 1 FROM networking.contacts WHERE id = :id FOR UPDATE")
            await system.execute(lock, {"id": UUID(contact)})
            first = asyncio.create_task(client.patch(path, json=change, headers=one))
            await until(lambda: is_claimed(database), within=10)
            second = await client.patch(path, json=change, headers=one)
            process.kill()
            with pytest.raises(httpx.TransportError):
                await first
            await process.ended()
        retried = await answered(acme.client, path, change, one)

    assert problem_of(second, 409, "idempotency-key-in-progress")
    assert (retried.status_code, retried.json()["version"]) == (200, 2)
    assert REPLAYED not in retried.headers
    assert len(await kept_for(database, acme.organization_id)) == 1


async def is_claimed(database: Database) -> bool:
    """Whether somebody holds a key in this test's database."""
    held = """SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
              WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database())"""
    async with database.system() as system:
        return bool(await system.scalar(text(held)))


async def answered(client: httpx.AsyncClient, path: str, change: Any, one: dict[str, str]) -> httpx.Response:
    """As soon as PostgreSQL has noticed that the process is gone."""
    answers: list[httpx.Response] = []

    async def is_over() -> bool:
        answers.append(await client.patch(path, json=change, headers=one))
        return answers[-1].status_code != 409

    await until(is_over, within=20, every=0.1)
    return answers[-1]


async def test_every_kind_of_answer_is_given_again(acme: Tenant) -> None:
    contact = (await acme.client.post(CONTACTS, json=ADA)).json()["id"]
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", CONTACTS, {"json": ADA}),
        ("PATCH", f"{CONTACTS}/{contact}", {"json": {"company": "A"}, "headers": {"if-match": '"1"'}}),
        ("DELETE", f"{CONTACTS}/{contact}", {}),
        ("POST", f"{CONTACTS}/{contact}/restore", {}),
        ("POST", IMPORTS, {"files": {"file": ("contacts.csv", b"first_name\nAda\n")}}),
        ("POST", "/api/v1/auth/sessions/end-others", {}),
    ]
    for method, path, sent in requests:
        headers = {**sent.pop("headers", {}), **key()}
        first = await acme.client.request(method, path, headers=headers, **sent)
        again = await acme.client.request(method, path, headers=headers, **sent)

        assert first.is_success, first.text
        assert REPLAYED not in first.headers
        assert again.headers[REPLAYED] == "true"
        for name in ("content-type", "etag", "location", "content-length"):
            assert again.headers.get(name) == first.headers.get(name), (method, path, name)
        assert (again.status_code, again.content) == (first.status_code, first.content)


@pytest.mark.parametrize("changed", ["body", "precondition", "file"])
async def test_a_key_of_another_request_is_refused(acme: Tenant, changed: str) -> None:
    contact, one = (await acme.client.post(CONTACTS, json=ADA)).json()["id"], key()
    path, first = f"{CONTACTS}/{contact}", {"if-match": '"1"', **one}
    if changed == "file":
        await acme.client.post(IMPORTS, files={"file": ("a.csv", b"first_name\nAda\n")}, headers=one)
        answer = await acme.client.post(IMPORTS, files={"file": ("a.csv", b"first_name\nBob\n")}, headers=one)
    else:
        (await acme.client.patch(path, json=ADA, headers=first)).raise_for_status()
        headers = first | ({"if-match": '"2"'} if changed == "precondition" else {})
        body = {"first_name": "Bob"} if changed == "body" else ADA
        answer = await acme.client.patch(path, json=body, headers=headers)

    assert problem_of(answer, 422, "idempotency-key-reused")


async def test_a_failure_is_not_kept(acme: Tenant, database: Database) -> None:
    one = key()
    problem_of(await acme.client.post(CONTACTS, json={"first_name": 5}, headers=one), 422, "invalid")

    mended = await acme.client.post(CONTACTS, json=ADA, headers=one)

    assert mended.status_code == 201
    assert len(await kept_for(database, acme.organization_id)) == 1


async def test_a_key_is_its_subjects_alone(acme: Tenant, globex: Tenant) -> None:
    """Nobody learns of another's keys, neither in the organization nor in another one."""
    one, colleague = key(), await make_member(acme, Role.MEMBER)

    answers = [await tenant.client.post(CONTACTS, json=ADA, headers=one) for tenant in (acme, colleague, globex)]
    other_body = await globex.client.post(CONTACTS, json={"first_name": "Bob"}, headers=key())

    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert not any(REPLAYED in answer.headers for answer in answers)
    assert len({answer.json()["id"] for answer in [*answers, other_body]}) == 4


async def test_a_key_is_its_routes_alone(acme: Tenant) -> None:
    one = key()
    contact = (await acme.client.post(CONTACTS, json=ADA, headers=one)).json()["id"]

    deleted = await acme.client.delete(f"{CONTACTS}/{contact}", headers=one)

    assert deleted.status_code == 204
    assert REPLAYED not in deleted.headers


async def test_an_answer_is_not_repeated_to_whom_it_is_no_longer_for(acme: Tenant, database: Database) -> None:
    member, one = await make_member(acme, Role.MEMBER), key()
    (await member.client.post(CONTACTS, json=ADA, headers=one)).raise_for_status()
    async with acme.system() as system:
        demoted = update(Membership).where(Membership.user_id == member.user_id).values(role=Role.VIEWER.value)
        await system.execute(demoted.values(version=Membership.version))

    problem_of(await member.client.post(CONTACTS, json=ADA, headers=one), 403, "forbidden")
    assert await contacts_of(database, acme.organization_id) == 1


async def test_what_is_kept_can_not_be_read_without_the_key(acme: Tenant, database: Database) -> None:
    secret = {HEADER: "canary-key"}
    (await acme.client.post(CONTACTS, json={"first_name": "Canary"}, headers=secret)).raise_for_status()

    (row,) = await kept_for(database, acme.organization_id)

    assert row.answer is not None
    assert not any(b"anary" in stored for stored in (row.answer, row.fingerprint, row.id.bytes))


async def test_keys_are_forgotten_after_a_day(acme: Tenant, application: Application, database: Database) -> None:
    for _ in range(2):
        (await acme.client.post(CONTACTS, json=ADA, headers=key())).raise_for_status()
    older, younger = await kept_for(database, acme.organization_id)
    for row, hours in ((older, 25), (younger, 23)):
        async with database.system() as system:
            born = {"created_at": clock.now() - timedelta(hours=hours)}
            await system.execute(update(IdempotencyKey).where(IdempotencyKey.id == row.id).values(**born))

    await Scheduler(database=database, registry=application.runtime.registry, sweeps=CORE_SWEEPS).sweep()

    assert [row.id for row in await kept_for(database, acme.organization_id)] == [younger.id]


BAD_KEYS = ["", " ", "a b", "x" * 256, "é", "tab\there", "\x7f"]


@pytest.mark.parametrize("bad", BAD_KEYS)
async def test_a_key_is_1_to_255_visible_characters(acme: Tenant, database: Database, bad: str) -> None:
    headers: Any = {HEADER.encode(): bad.encode("latin-1")}

    problem_of(await acme.client.post(CONTACTS, json=ADA, headers=headers), 400, "idempotency-key-malformed")
    assert await contacts_of(database, acme.organization_id) == 0


async def test_there_is_one_key_or_none(acme: Tenant) -> None:
    headers = [(HEADER, "one"), (HEADER, "two"), *acme.client.headers.items()]

    assert problem_of(await acme.client.post(CONTACTS, json=ADA, headers=headers), 400, "idempotency-key-malformed")


async def test_every_operation_that_changes_something_takes_a_key_or_refuses_it(
    application: Application, acme: Tenant
) -> None:
    """Those that take none make credentials, which are never kept, or are for people who are not signed in."""
    without: set[str] = set()
    for operation in operations(application):
        if operation.method not in MUTATING:
            continue
        takes = takes_key(operation.handler, operation.method)
        without |= set() if takes or operation.is_public else {operation.id}
        sent = {"data": {}, "files": {"file": ("a.csv", b"x")}} if operation.takes_files else {}
        if operation.takes_json:
            sent = {"json": valid_body(operation)}
        headers: Any = {HEADER: "not one" if takes else "one"}
        answer = await acme.client.request(operation.method, operation.path(), headers=headers, **sent)

        problem_of(answer, 400, f"idempotency-key-{'malformed' if takes else 'unsupported'}")
        assert takes or operation.is_public or operation.handler.opt[NO_KEY]
    assert without == {
        "switch_organization",
        "enrol_totp",
        "impersonate",
        "link_oidc",
        "confirm_totp",
        "renew_recovery_codes",
        "create_api_key",
        "rotate_api_key",
    }


async def test_the_document_says_which_operations_take_a_key(application: Application, anonymous: Any) -> None:
    document = (await anonymous.get("/openapi.json")).json()
    for operation in operations(application):
        described = document["paths"][operation.template][operation.method.lower()]
        headers = {parameter["name"] for parameter in described.get("parameters", ())}

        assert (HEADER in headers) == takes_key(operation.handler, operation.method), operation.id
        if operation.method in MUTATING and HEADER not in headers:
            assert f"Takes no `{HEADER}`" in described["description"]


EFFECT = "INSERT INTO core.teams (organization_id, id, name) VALUES (:organization, gen_random_uuid(), :name)"


@post("/long", operation_id="long_answer", guards=[requires(WRITE)])
async def long_answer(ctx: Ctx) -> Response[bytes]:
    await ctx.db.execute(text(EFFECT), {"organization": ctx.organization_id, "name": "long"})
    return Response(b"x" * (ANSWER_BYTES + 1), media_type="text/plain")


@post("/stream", operation_id="streamed_answer", guards=[requires(WRITE)])
async def streamed_answer(ctx: Ctx) -> Stream:
    await ctx.db.execute(text(EFFECT), {"organization": ctx.organization_id, "name": "stream"})

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    return Stream(chunks(), media_type="text/plain")


@pytest.mark.parametrize(("route", "size"), [("long", ANSWER_BYTES + 1), ("stream", 40 * 65_536)])
async def test_an_answer_too_long_to_keep_is_still_given_once_for_one_effect(
    settings: Settings, acme: Tenant, database: Database, route: str, size: int
) -> None:
    path, one = f"/api/v1/scratch/{route}", key()
    async with serving(settings, long_answer, streamed_answer) as application, client_for(application, acme) as client:
        first = await client.post(path, headers=one)
        again = await client.post(path, headers=one)

    assert (first.status_code, len(first.content)) == (201, size)
    problem_of(again, 409, "idempotency-answer-not-kept")
    async with database.system() as system:
        made = text("SELECT count(*) FROM core.teams WHERE organization_id = :organization")
        assert await system.scalar(made, {"organization": acme.organization_id}) == 1
