"""The read lane's connections stay in a tenant between reads. None is ever asked on behalf of another.

Every question here is one without the tenant predicate that queries carry: row security stands alone.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import func, insert, select, text

from core.db.database import Database, connect, open_database
from core.db.reads import Read
from core.db.statement_pool import StatementPool
from core.db.tenancy import APP_ROLE, CURRENT_ORGANIZATION, TenantConnection, TenantContext
from core.ids import new_id
from core.runtime import Runtime
from core.tasks.models import DomainEvent
from core.testing.tenants import Tenant

WHOSE = f"SELECT {CURRENT_ORGANIZATION}"
SEEN = Read(select(DomainEvent.organization_id, func.pg_sleep(0.002)))
BROKEN = Read(select(text("1 / 0")))
SIZE, TASKS, ROUNDS = 2, 6, 40

type Leave = Callable[[TenantConnection], Awaitable[None]]


@pytest.fixture
async def lanes(runtime: Runtime, acme: Tenant, globex: Tenant) -> AsyncGenerator[Database]:
    settings = runtime.settings
    async with open_database(
        app_url=settings.database_url, system_url=settings.system_url, pool=SIZE, name="read-pool"
    ) as database:
        for tenant in (acme, globex):
            async with database.session(TenantContext(organization_id=tenant.organization_id)) as session:
                row = {"organization_id": tenant.organization_id, "id": new_id(), "type": "test.it", "payload": {}}
                await session.execute(insert(DomainEvent), row)
                await session.commit()
        yield database


@pytest.fixture
async def pool(runtime: Runtime) -> AsyncGenerator[StatementPool]:
    """Of one connection."""
    made = StatementPool(
        lambda: connect(runtime.settings.database_url, role=APP_ROLE, name="pool", read_only=True), size=1
    )
    yield made
    await made.close()


async def test_reads_that_are_cancelled_and_fail_and_stop_half_way_never_let_tenants_meet(
    lanes: Database, acme: Tenant, globex: Tenant
) -> None:
    """Three times as many tasks as connections, so that each changes hands all the time, well or badly."""
    met: set[tuple[object, object]] = set()

    async def read(tenant: Tenant, chance: random.Random) -> None:
        lane = lanes.reads(TenantContext(organization_id=tenant.organization_id))
        match chance.randrange(5):
            case 0:
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await lane.rows(BROKEN)
            case 1:
                task = asyncio.ensure_future(lane.rows(SEEN))
                await asyncio.sleep(chance.random() * 0.003)
                task.cancel()
                await asyncio.wait([task])
            case 2:
                stream = lane.stream(SEEN)
                async for row in stream:
                    met.add((tenant.organization_id, row[0]))
                    break
                await stream.aclose()  # type: ignore[attr-defined]
            case _:
                met.update((tenant.organization_id, row[0]) for row in await lane.rows(SEEN))

    async def hammer(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 # nothing secret
        for _ in range(ROUNDS):
            await read(chance.choice((acme, globex)), chance)

    await asyncio.gather(*(hammer(number) for number in range(TASKS)))

    assert met == {(acme.organization_id,) * 2, (globex.organization_id,) * 2}


async def test_a_change_of_tenant_that_was_broken_off_is_made_anew(
    pool: StatementPool, acme: Tenant, globex: Tenant
) -> None:
    async with pool.acquire(globex.organization_id) as connection:
        changing = asyncio.ensure_future(connection.serve(acme.organization_id))
        await asyncio.sleep(0)
        changing.cancel()
        await asyncio.wait([changing])
        await connection.execute(f"SET app.organization_id = '{globex.organization_id}'")

        await connection.serve(acme.organization_id)

        assert changing.cancelled()
        assert await connection.fetchval(WHOSE) == acme.organization_id


async def test_a_tenant_can_not_be_changed_within_a_transaction(
    pool: StatementPool, acme: Tenant, globex: Tenant
) -> None:
    async with pool.acquire(globex.organization_id) as connection, connection.transaction():
        with pytest.raises(RuntimeError, match="transaction"):
            await connection.serve(acme.organization_id)

        assert await connection.fetchval(WHOSE) == globex.organization_id


async def left_in_a_transaction(connection: TenantConnection) -> None:
    await connection.execute("BEGIN")


async def left_in_the_middle(connection: TenantConnection) -> None:
    await connection.fetch("SELECT 1")
    raise LookupError


@pytest.mark.parametrize("leave", [left_in_a_transaction, left_in_the_middle])
async def test_a_connection_left_unsoundly_is_never_lent_again(pool: StatementPool, acme: Tenant, leave: Leave) -> None:
    async def whose(tenant: Tenant) -> int:
        async with pool.acquire(tenant.organization_id) as connection:
            return connection.get_server_pid()

    first = await whose(acme)
    same = await whose(acme)
    with pytest.raises(LookupError):
        async with pool.acquire(acme.organization_id) as connection:
            await leave(connection)
            raise LookupError

    assert same == first
    assert await whose(acme) != first


async def test_who_waits_in_vain_is_told_and_takes_nobodys_place(pool: StatementPool, acme: Tenant) -> None:
    async with pool.acquire(acme.organization_id):
        with pytest.raises(TimeoutError):
            async with pool.acquire(acme.organization_id, within=0.05):
                pass
        waiting = asyncio.ensure_future(pool.acquire(acme.organization_id).__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])

    async with pool.acquire(acme.organization_id, within=0.5) as connection:
        assert await connection.fetchval(WHOSE) == acme.organization_id


async def test_who_gives_up_as_a_connection_comes_back_leaves_it_to_others(pool: StatementPool, acme: Tenant) -> None:
    async with pool.acquire(acme.organization_id):
        waiting = asyncio.ensure_future(pool.acquire(acme.organization_id).__aenter__())
        await asyncio.sleep(0.01)
        waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    async with pool.acquire(acme.organization_id, within=0.5) as connection:
        assert await connection.fetchval(WHOSE) == acme.organization_id


async def test_who_waits_gets_the_place_of_a_connection_that_broke(pool: StatementPool, acme: Tenant) -> None:
    async def whose() -> UUID:
        async with pool.acquire(acme.organization_id) as connection:
            return await connection.fetchval(WHOSE)

    async with pool.acquire(acme.organization_id) as connection:
        waiting = asyncio.ensure_future(whose())
        await asyncio.sleep(0.01)
        connection.terminate()

    assert await waiting == acme.organization_id


@pytest.fixture
async def pair(runtime: Runtime, acme: Tenant, globex: Tenant) -> AsyncGenerator[StatementPool]:
    """Of two connections, one of which has served each tenant."""
    made = StatementPool(
        lambda: connect(runtime.settings.database_url, role=APP_ROLE, name="pair", read_only=True), size=2
    )
    async with made.acquire(acme.organization_id), made.acquire(globex.organization_id):
        pass
    yield made
    await made.close()


async def test_a_read_waits_for_its_own_tenants_connection_and_takes_none_from_another(
    pair: StatementPool, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.db.statement_pool.OWN_SECONDS", 30.0)

    async def who_serves(tenant: Tenant) -> int:
        async with pair.acquire(tenant.organization_id) as connection:
            return connection.get_server_pid()

    async with pair.acquire(acme.organization_id) as connection:
        acmes = connection.get_server_pid()
        waiting = [asyncio.ensure_future(who_serves(acme)) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[1].cancel()
        globexs = await who_serves(globex)

        assert not waiting[0].done()

    assert [await waiting[0], await waiting[2], await who_serves(globex)] == [acmes, acmes, globexs]
    assert waiting[1].cancelled()
    assert acmes != globexs
    assert not pair._waiting_in


async def test_a_read_that_would_wait_long_for_its_own_takes_another(pair: StatementPool, acme: Tenant) -> None:
    async with pair.acquire(acme.organization_id) as busy, pair.acquire(acme.organization_id) as other:
        assert other is not busy
        assert await other.fetchval(WHOSE) == acme.organization_id

    assert not pair._waiting_in


async def test_who_gives_up_as_its_own_comes_back_leaves_it_to_others(
    pair: StatementPool, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.db.statement_pool.OWN_SECONDS", 30.0)
    async with pair.acquire(acme.organization_id) as connection:
        waiting = asyncio.ensure_future(pair.acquire(acme.organization_id).__aenter__())
        await asyncio.sleep(0.01)
    waiting.cancel()  # it has been handed one, and doesn't know yet
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    async with pair.acquire(acme.organization_id) as again:
        assert again is connection


async def test_those_who_take_any_connection_come_before_those_who_wait_for_their_own(
    pool: StatementPool, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a tenant that reads all the time would keep the connections to itself."""
    order: list[str] = []

    async def read(tenant: Tenant, name: str) -> None:
        async with pool.acquire(tenant.organization_id) as connection:
            order.append(name)
            assert await connection.fetchval(WHOSE) == tenant.organization_id

    monkeypatch.setattr("core.db.statement_pool.OWN_SECONDS", 30.0)
    async with pool.acquire(acme.organization_id):
        own = asyncio.ensure_future(read(acme, "own"))
        await asyncio.sleep(0.01)
        any_of_them = asyncio.ensure_future(read(globex, "any"))
        await asyncio.sleep(0.01)
    await asyncio.gather(own, any_of_them)

    assert order == ["any", "own"]


async def test_the_read_lane_can_only_read(lanes: Database, acme: Tenant) -> None:
    async with lanes._reads.acquire(acme.organization_id) as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("UPDATE core.organizations SET name = name")


def test_a_read_that_would_change_the_tenant_is_refused() -> None:
    with pytest.raises(ValueError, match="settings"):
        _ = Read(select(func.set_config("app.organization_id", "", False))).sql


async def test_no_function_of_the_database_sets_anything_beyond_its_transaction(lanes: Database) -> None:
    """Called from a read, it could take the connection's tenant away under it."""
    async with lanes.system() as system:
        rows = await system.execute(
            text(
                "SELECT oid::regproc::text FROM pg_proc WHERE pronamespace::regnamespace::text !~ '^(pg_|information_)'"
                r" AND prosrc ~* '\mset_config\M[^;]*,\s*false|\m(SET|RESET)\s+(SESSION\s+)?app\.'"
            )
        )
        found = list(rows.scalars())

    assert found == []
