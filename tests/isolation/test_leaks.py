"""The tenant of a transaction is set on its BEGIN and ends with it, whatever happens in between.

Every lane here has one connection, or two where many tasks fight for them, so that each borrower follows another.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.database import Database, connect, open_database
from core.db.reads import Read
from core.db.tenancy import APP_ROLE, CURRENT_ORGANIZATION, TenantConnection, TenantContext
from core.identity.models import Organization
from core.ids import new_id
from core.runtime import Runtime
from core.tasks.models import DomainEvent
from core.testing.tenants import Tenant
from core.testing.waiting import until

SEEN = select(DomainEvent.organization_id)
"""Without the tenant predicate that queries carry: here row security stands alone."""
READ_SEEN = Read(SEEN)
READ_SLEEP = Read(select(func.pg_sleep(20)))
LOCK = 20_261_121
WHOSE = f"SELECT {CURRENT_ORGANIZATION}"

type Borrower = Callable[[Database, TenantContext], Awaitable[Any]]


def context_of(tenant: Tenant) -> TenantContext:
    return TenantContext(organization_id=tenant.organization_id, user_id=tenant.user_id)


@pytest.fixture
async def single(runtime: Runtime, acme: Tenant, globex: Tenant) -> AsyncGenerator[Database]:
    """Lanes of one connection each, on a database in which both organizations have rows."""
    settings = runtime.settings
    async with open_database(
        app_url=settings.database_url, system_url=settings.system_url, pool=1, name="leaks"
    ) as database:
        for tenant in (acme, globex):
            async with database.session(context_of(tenant)) as session:
                await session.execute(insert(DomainEvent), [an_event(tenant) for _ in range(3)])
                await session.commit()
        yield database


def an_event(tenant: Tenant) -> dict[str, Any]:
    return {"organization_id": tenant.organization_id, "id": new_id(), "type": "test.happened", "payload": {}}


async def written_lane_sees(database: Database, tenant: Tenant) -> set[Any]:
    async with database.session(context_of(tenant)) as session:
        return set(await session.scalars(SEEN))


async def read_lane_sees(database: Database, tenant: Tenant) -> set[Any]:
    return {row[0] for row in await database.reads(context_of(tenant)).rows(READ_SEEN)}


async def a_stranger_sees(database: Database) -> list[Any]:
    """What a borrower sees that names no tenant. No product code borrows so; only the guards stand in its way."""
    async with AsyncSession(database._app) as session:
        on_write_lane = list(await session.scalars(SEEN))
    async with database._reads.acquire() as connection, connection.transaction():
        return on_write_lane + await connection.fetch(READ_SEEN.sql)


async def commits(database: Database, context: TenantContext) -> None:
    async with database.session(context) as session:
        await session.scalars(SEEN)
        await session.commit()
    await database.reads(context).rows(READ_SEEN)


async def rolls_back(database: Database, context: TenantContext) -> None:
    async with database.session(context) as session:
        await session.scalars(SEEN)
        await session.rollback()


async def fails(database: Database, context: TenantContext) -> None:
    async with database.session(context) as session:
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT 1 / 0"))
    with pytest.raises(Exception, match="division by zero"):
        await database.reads(context).rows(Read(select(text("1 / 0"))))


async def fails_in_a_savepoint(database: Database, context: TenantContext) -> None:
    async with database.session(context) as session:
        with pytest.raises(DBAPIError):
            async with session.begin_nested():
                await session.execute(text("SELECT 1 / 0"))
        await session.scalars(SEEN)
        await session.commit()


async def is_cancelled(database: Database, context: TenantContext) -> None:
    """Both lanes, each in the middle of a statement."""

    async def write() -> None:
        async with database.session(context) as session:
            await session.execute(select(func.pg_sleep(20)))

    for work in (write(), database.reads(context).rows(READ_SLEEP)):
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def is_cancelled_as_it_begins(database: Database, context: TenantContext) -> None:
    """A lock rides on BEGIN, and is waited for in vain."""

    async def wait() -> None:
        async with database.session(context) as session:
            await session.lock([LOCK])

    async with database.system() as holder:
        await holder.execute(select(func.pg_advisory_xact_lock(LOCK)))
        task = asyncio.ensure_future(wait())
        await until(partial(is_waited_for, holder), within=5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def is_waited_for(holder: AsyncSession) -> bool:
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = :lock")
    return bool(await holder.scalar(waiting, {"lock": LOCK}))


async def leaves_a_stream_unread(database: Database, context: TenantContext) -> None:
    stream = database.reads(context).stream(READ_SEEN)
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]


async def never_begins(database: Database, context: TenantContext) -> None:
    """A session that took a connection and was closed before its first statement."""
    async with database.session(context) as session:
        await session.connection()


BORROWERS: list[Borrower] = [
    commits,
    rolls_back,
    fails,
    fails_in_a_savepoint,
    is_cancelled,
    is_cancelled_as_it_begins,
    leaves_a_stream_unread,
    never_begins,
]


@pytest.mark.parametrize("borrower", BORROWERS)
async def test_the_next_borrower_sees_nothing_of_the_last(
    single: Database, acme: Tenant, globex: Tenant, borrower: Borrower
) -> None:
    await borrower(single, context_of(acme))

    assert await a_stranger_sees(single) == []
    assert await written_lane_sees(single, globex) == {globex.organization_id}
    assert await read_lane_sees(single, globex) == {globex.organization_id}


async def test_a_session_keeps_its_tenant_beyond_a_commit(single: Database, acme: Tenant, globex: Tenant) -> None:
    async with single.session(context_of(acme)) as session:
        await session.scalars(SEEN)
        await session.commit()
        assert await written_lane_sees(single, globex) == {globex.organization_id}

        seen = set(await session.scalars(SEEN))

    assert seen == {acme.organization_id}


@pytest.fixture
async def connection(runtime: Runtime) -> AsyncGenerator[TenantConnection]:
    connection = await connect(runtime.settings.database_url, role=APP_ROLE, name="leaks")
    yield connection
    await connection.close()


async def test_a_savepoint_does_not_set_the_tenant(connection: TenantConnection, acme: Tenant, globex: Tenant) -> None:
    """The next transaction's tenant is named while one is under way: that one's savepoints are none of its business."""
    connection.enter(context_of(acme))
    async with connection.transaction():
        connection.enter(context_of(globex))

        async with connection.transaction():
            whose = await connection.fetchval(WHOSE)

        assert whose == acme.organization_id
        assert await connection.fetchval(WHOSE) == acme.organization_id


async def test_a_savepoint_outside_any_tenant_stays_outside(connection: TenantConnection, acme: Tenant) -> None:
    async with connection.transaction():
        connection.enter(context_of(acme))

        async with connection.transaction():
            whose = await connection.fetchval(WHOSE)

    assert whose is None


async def test_a_transaction_without_a_tenant_has_none_of_the_last(connection: TenantConnection, acme: Tenant) -> None:
    connection.enter(context_of(acme))
    async with connection.transaction():
        assert await connection.fetchval(WHOSE) == acme.organization_id
    connection.enter(None)

    async with connection.transaction():
        whose = await connection.fetchval(WHOSE)

    assert whose is None


async def test_text_of_the_context_can_not_end_its_literal(connection: TenantConnection, acme: Tenant) -> None:
    hostile = "'; SET LOCAL app.organization_id = ''; -- \\' \\\\ \0 é"
    connection.enter(TenantContext(organization_id=acme.organization_id, correlation_id=hostile))

    async with connection.transaction():
        whose = await connection.fetchval(WHOSE)
        told = await connection.fetchval("SELECT current_setting('app.correlation_id')")

    assert whose == acme.organization_id
    assert told == hostile.replace("\0", "")


TASKS = 4
"""Twice as many as there are connections, so that each connection changes hands all the time."""
ROUNDS = 60


async def test_two_organizations_on_one_small_pool_never_meet(runtime: Runtime, acme: Tenant, globex: Tenant) -> None:
    settings = runtime.settings
    async with open_database(
        app_url=settings.database_url, system_url=settings.system_url, pool=2, name="leaks"
    ) as database:
        async with asyncio.TaskGroup() as tasks:
            for number in range(TASKS):
                tasks.create_task(hammer(database, (acme, globex)[number % 2]))

        counts = [await count_of(database, tenant) for tenant in (acme, globex)]

    assert counts == [TASKS // 2 * ROUNDS] * 2


async def hammer(database: Database, tenant: Tenant) -> None:
    """Write, read back, undo, write in a savepoint, read on the other lane; only ever one's own is there."""
    mine = {tenant.organization_id}
    for _ in range(ROUNDS):
        async with database.session(context_of(tenant)) as session:
            await session.execute(insert(DomainEvent).values(an_event(tenant)))
            await session.commit()
            assert set(await session.scalars(SEEN)) == mine
        async with database.session(context_of(tenant)) as session:
            await session.execute(insert(DomainEvent).values(an_event(tenant)))
            await session.rollback()
            assert set(await session.scalars(SEEN)) == mine
        async with database.session(context_of(tenant)) as session:
            async with session.begin_nested() as savepoint:
                await session.execute(insert(DomainEvent).values(an_event(tenant)))
                await savepoint.rollback()
            assert set(await session.scalars(SEEN)) == mine
        assert await read_lane_sees(database, tenant) == mine


async def count_of(database: Database, tenant: Tenant) -> int:
    async with database.session(context_of(tenant)) as session:
        return await session.scalar(select(func.count()).select_from(DomainEvent)) or 0


async def test_a_system_transaction_that_is_cancelled_as_it_begins_leaves_its_connection_to_nobody(
    single: Database, acme: Tenant
) -> None:
    """Nobody acts here, so nothing rides on BEGIN. The next borrower would take that transaction for its own, and
    nobody would commit it."""

    async def found(slug: str) -> None:
        async with single.system() as system:
            await system.insert(Organization, name="Umbrella", slug=slug)

    async with single.system() as system:
        backend = (await system.scalars(select(func.pg_backend_pid()))).one()
    slug = f"t-{new_id().hex}"
    os.kill(backend, signal.SIGSTOP)
    try:
        task = asyncio.create_task(found("never"))
        await asyncio.sleep(0.1)
        task.cancel()
    finally:
        os.kill(backend, signal.SIGCONT)
    with pytest.raises(asyncio.CancelledError):
        await task

    await found(slug)

    async with acme.database.system() as elsewhere:
        known = await elsewhere.scalars(select(Organization.slug).where(Organization.slug.in_(["never", slug])))
        assert known.all() == [slug]
