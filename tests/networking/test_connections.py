"""Connections between members: whoever asks, however many at once, two people have one connection."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, text

from core import clock
from core.db.tenancy import TenantContext
from core.ids import new_id
from core.permissions import Role
from core.tasks.models import DomainEvent
from core.testing.tenants import Tenant, make_member
from modules.networking.connection_models import Connection
from modules.networking.connection_queries import RELATION

URL = "/api/v1/networking/connections"
PEOPLE = "/api/v1/networking/people"
SETTINGS = "/api/v1/modules/networking/settings"


@pytest.fixture
async def grace(acme: Tenant) -> Tenant:
    """A colleague of acme's owner."""
    return await make_member(acme, Role.MEMBER)


async def ask(one: Tenant, other: Tenant, *, expect: int = 200) -> dict[str, Any]:
    answer = await one.client.post(URL, json={"user_id": str(other.user_id)})
    assert answer.status_code == expect, answer.text
    return answer.json()


async def act(person: Tenant, connection: dict[str, Any], action: str, *, expect: int = 200) -> dict[str, Any]:
    answer = await person.client.post(f"{URL}/{connection['id']}/{action}")
    assert answer.status_code == expect, answer.text
    return answer.json()


async def connect(one: Tenant, other: Tenant) -> dict[str, Any]:
    return await act(other, await ask(one, other), "accept")


async def relation(one: Tenant, other: Tenant) -> dict[str, Any]:
    return (await one.client.get(f"{PEOPLE}/{other.user_id}/relation")).json()


async def told(tenant: Tenant) -> list[str]:
    async with tenant.database.system() as system:
        found = await system.scalars(
            select(DomainEvent.type)
            .where(DomainEvent.organization_id == tenant.organization_id, DomainEvent.type.like("networking.conn%"))
            .order_by(DomainEvent.sequence)
        )
        return [name.removeprefix("networking.connection_") for name in found]


async def until_served(client: httpx.AsyncClient, body: dict[str, str]) -> httpx.Response:
    """A crowd may be told to come back (503 with Retry-After); this one does."""
    while (answer := await client.post(URL, json=body)).status_code == 503:
        assert "retry-after" in answer.headers
        await asyncio.sleep(0.05)
    return answer


async def test_who_is_asked_accepts_and_both_see_the_other(acme: Tenant, grace: Tenant) -> None:
    asked = await ask(acme, grace)
    incoming = (await grace.client.get(URL, params={"status": "pending", "direction": "incoming"})).json()["items"]
    made = await act(grace, asked, "accept")

    assert (asked["state"], asked["direction"], asked["user_id"]) == ("pending", "outgoing", str(grace.user_id))
    assert [item["name"] for item in incoming] == ["Olu Owner"]
    assert (made["state"], made["direction"]) == ("connected", "incoming")
    assert [item["id"] for item in (await acme.client.get(URL)).json()["items"]] == [asked["id"]]
    assert await told(acme) == ["requested", "made"]


async def test_asking_again_while_a_request_waits_changes_nothing(acme: Tenant, grace: Tenant) -> None:
    first, second = await ask(acme, grace), await ask(acme, grace)

    assert first == second
    assert await told(acme) == ["requested"]


async def test_200_crossed_requests_at_once_make_one_connection(acme: Tenant, grace: Tenant) -> None:
    pairs = [(acme, grace), (grace, acme)] * 100

    answers = await asyncio.gather(*(until_served(one.client, {"user_id": str(other.user_id)}) for one, other in pairs))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    async with acme.database.system() as system:
        rows = (
            await system.scalars(select(Connection).where(Connection.organization_id == acme.organization_id))
        ).all()
    assert [row.state for row in rows] == ["connected"]
    assert await told(acme) == ["requested", "made"]


async def test_only_who_was_asked_may_answer_and_only_who_asked_may_cancel(acme: Tenant, grace: Tenant) -> None:
    asked = await ask(acme, grace)
    stranger = await make_member(acme, Role.MEMBER)

    for person, action in ((acme, "accept"), (acme, "decline"), (grace, "cancel")):
        assert (await act(person, asked, action, expect=409))["code"] == "not-waiting"
    for action in ("accept", "decline", "cancel"):
        await act(stranger, asked, action, expect=404)
    assert (await act(acme, asked, "cancel"))["state"] == "cancelled"
    assert (await act(grace, asked, "accept", expect=409))["code"] == "not-waiting"


async def test_who_was_declined_waits_for_the_cooldown_and_who_declined_does_not(acme: Tenant, grace: Tenant) -> None:
    await act(grace, await ask(acme, grace), "decline")
    assert (await ask(acme, grace, expect=409))["code"] == "not-possible"

    assert (await ask(grace, acme))["state"] == "pending"


async def test_after_the_cooldown_a_declined_person_may_ask_again(acme: Tenant, grace: Tenant) -> None:
    await act(grace, await ask(acme, grace), "decline")
    async with acme.database.system() as system:
        await system.execute(
            text(
                "UPDATE networking.connections SET answered_at = now() - interval '31 days' WHERE organization_id = :o"
            ),
            {"o": acme.organization_id},
        )

    assert (await ask(acme, grace))["state"] == "pending"


async def test_a_block_outranks_a_request_and_looks_like_a_decline(acme: Tenant, grace: Tenant) -> None:
    asked = await ask(acme, grace)
    blocked = await grace.client.put(f"{PEOPLE}/{acme.user_id}/block")
    again = await grace.client.put(f"{PEOPLE}/{acme.user_id}/block")

    assert (blocked.status_code, again.status_code) == (204, 204)
    seen = (await acme.client.get(f"{URL}/{asked['id']}")).json()
    assert (seen["state"], seen["blocked_by_me"]) == ("declined", False)
    assert (await ask(acme, grace, expect=409))["code"] == "not-possible"
    assert (await ask(grace, acme, expect=409))["code"] == "blocked-by-you"
    assert (await act(grace, asked, "accept", expect=409))["code"] == "not-waiting"
    assert [b["user_id"] for b in (await grace.client.get("/api/v1/networking/blocks")).json()["items"]] == [
        str(acme.user_id)
    ]
    assert (await acme.client.get("/api/v1/networking/blocks")).json()["items"] == []


async def test_a_block_and_requests_at_once_never_end_connected(acme: Tenant, grace: Tenant) -> None:
    await ask(acme, grace)

    await asyncio.gather(
        *(until_served(grace.client, {"user_id": str(acme.user_id)}) for _ in range(5)),
        grace.client.put(f"{PEOPLE}/{acme.user_id}/block"),
        *(until_served(acme.client, {"user_id": str(grace.user_id)}) for _ in range(5)),
    )

    assert (await relation(grace, acme))["connection"]["state"] in {"declined", "removed"}
    assert (await relation(grace, acme))["degree"] is None


async def test_unblocking_brings_nothing_back_and_lets_both_ask(acme: Tenant, grace: Tenant) -> None:
    await connect(acme, grace)
    await grace.client.put(f"{PEOPLE}/{acme.user_id}/block")
    ended = (await relation(acme, grace))["connection"]["state"]

    lifted = await grace.client.delete(f"{PEOPLE}/{acme.user_id}/block")
    twice = await grace.client.delete(f"{PEOPLE}/{acme.user_id}/block")

    assert (ended, lifted.status_code, twice.status_code) == ("removed", 204, 404)
    assert (await ask(acme, grace))["state"] == "pending"
    assert await told(acme) == ["requested", "made", "ended", "requested"]


async def test_nobody_goes_past_the_limits_however_many_ask_at_once(acme: Tenant, grace: Tenant) -> None:
    limits = {"settings": {"max_connections": 2, "max_pending_requests": 3}}
    assert (await acme.client.put(SETTINGS, json=limits)).is_success
    others = [await make_member(acme, Role.MEMBER) for _ in range(5)]

    answers = await asyncio.gather(*(until_served(acme.client, {"user_id": str(other.user_id)}) for other in others))
    waiting = [answer.json() for answer in answers if answer.is_success]
    by_id = {str(other.user_id): other for other in others}
    accepted = await asyncio.gather(
        *(by_id[asked["user_id"]].client.post(f"{URL}/{asked['id']}/accept") for asked in waiting)
    )

    assert len(waiting) == 3
    assert {a.json()["code"] for a in answers if not a.is_success} == {"request-limit"}
    assert sorted(answer.status_code for answer in accepted) == [200, 200, 409]
    assert (await ask(acme, grace, expect=409))["code"] == "connection-limit"


async def test_nobody_connects_with_themselves_or_with_nobody(acme: Tenant, globex: Tenant) -> None:
    assert (await ask(acme, acme, expect=409))["code"] == "oneself"
    assert (await ask(acme, globex, expect=404))["code"] == "not-found"
    blocked = await acme.client.put(f"{PEOPLE}/{globex.user_id}/block")
    assert blocked.status_code == 404


async def test_who_is_deactivated_can_not_be_asked(acme: Tenant, grace: Tenant) -> None:
    member = await acme.client.patch(f"/api/v1/members/{grace.user_id}", json={"is_active": False})
    assert member.is_success

    assert (await ask(acme, grace, expect=404))["code"] == "not-found"


async def test_degrees_and_mutual_connections(acme: Tenant) -> None:
    """acme - b - c - d in a chain, and acme - e - c."""
    b, c, d, e, f = [await make_member(acme, Role.MEMBER) for _ in range(5)]
    for one, other in ((acme, b), (b, c), (c, d), (acme, e), (e, c)):
        await connect(one, other)

    found = {name: await relation(acme, person) for name, person in zip("bcdf", (b, c, d, f), strict=True)}
    mutuals = (await acme.client.get(f"{PEOPLE}/{c.user_id}/mutual-connections", params={"limit": 1})).json()
    rest = await acme.client.get(
        f"{PEOPLE}/{c.user_id}/mutual-connections", params={"limit": 1, "cursor": mutuals["next_cursor"]}
    )

    assert {name: seen["degree"] for name, seen in found.items()} == {"b": 1, "c": 2, "d": 3, "f": None}
    assert {name: seen["mutual_connections"] for name, seen in found.items()} == {"b": 0, "c": 2, "d": 0, "f": 0}
    shown = [item["user_id"] for item in (*mutuals["items"], *rest.json()["items"])]
    assert sorted(shown) == sorted(str(person.user_id) for person in (b, e))
    await connect(b, d)
    assert (await relation(acme, d))["degree"] == 2


async def test_degrees_are_found_by_index_among_many_connections(acme: Tenant) -> None:
    people = [new_id() for _ in range(300)]
    me = acme.user_id
    edges = [(me, p) for p in people[:200]] + [
        (people[i], people[j]) for i in range(300) for j in range(i + 1, i + 40) if j < 300
    ]
    now = clock.now()
    async with acme.database.system() as system:
        await system.execute(
            insert(Connection),
            [
                {"organization_id": acme.organization_id, "first_id": min(e), "second_id": max(e), "state": "connected",
                 "created_at": now - timedelta(seconds=n), "updated_at": now}
                for n, e in enumerate(edges)
            ],
        )  # fmt: skip
        await system.execute(text("ANALYZE networking.connections"))

    plan = await explained(acme, me=me, them=people[299])

    assert "Seq Scan on connections" not in plan, plan


async def explained(tenant: Tenant, **values: Any) -> str:
    context = TenantContext(organization_id=tenant.organization_id)
    async with tenant.database.session(context) as session:
        connection = await (await session.connection()).get_raw_connection()
        rows: Sequence[Any] = await connection.driver_connection.fetch(
            f"EXPLAIN (ANALYZE) {RELATION.sql}", *RELATION.arguments(tenant.organization_id, values)
        )
    return "\n".join(row[0] for row in rows)
