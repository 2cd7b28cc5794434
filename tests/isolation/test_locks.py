"""`ctx.db.lock`: advisory locks that last as long as the transaction, wherever in it they are taken."""

import asyncio

import pytest
from sqlalchemy import func, select, text

from core.db.sessions import TenantSession
from core.db.tenancy import TenantContext
from core.ids import new_id
from core.testing.tenants import Tenant

HELD = text("SELECT mode, granted FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY mode")


def lane_of(tenant: Tenant) -> TenantSession:
    return tenant.database.session(TenantContext(organization_id=tenant.organization_id))


def new_number() -> int:
    return int.from_bytes(new_id().bytes[8:], signed=True)


@pytest.mark.parametrize("begun", [False, True])
async def test_locks_are_held_in_the_transactions_tenant_until_it_ends(acme: Tenant, begun: bool) -> None:
    async with lane_of(acme) as lane:
        if begun:
            await lane.execute(select(1))
        await lane.lock([new_number(), new_number()], shared=[new_number()])

        assert list(await lane.execute(HELD)) == [("ExclusiveLock", True), ("ExclusiveLock", True), ("ShareLock", True)]
        organization_id = await lane.scalar(select(func.current_setting("app.organization_id")))
        assert organization_id == str(acme.organization_id)
        await lane.commit()

        assert list(await lane.execute(HELD)) == []


@pytest.mark.parametrize("begun", [False, True])
async def test_no_lock_is_no_lock(acme: Tenant, begun: bool) -> None:
    async with lane_of(acme) as lane:
        if begun:
            await lane.execute(select(1))
        await lane.lock([])

        assert list(await lane.execute(HELD)) == []


async def test_the_second_waits_until_the_first_has_committed(acme: Tenant) -> None:
    number, order = new_number(), list[str]()

    async def wait() -> None:
        async with lane_of(acme) as second:
            await second.lock([number])
            order.append("second")

    async with lane_of(acme) as first:
        await first.lock([number])
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.1)
        order.append("first")
        await first.commit()
    await waiting

    assert order == ["first", "second"]


async def test_those_who_want_the_same_in_another_order_do_not_wait_for_each_other(acme: Tenant) -> None:
    numbers = [new_number() for _ in range(4)]

    async def take(wanted: list[int]) -> None:
        async with lane_of(acme) as lane:
            await lane.lock(wanted)
            await lane.commit()

    for _ in range(10):
        await asyncio.gather(*(take(wanted) for wanted in (numbers, numbers[::-1], numbers[2:] + numbers[:2])))

    async with lane_of(acme) as lane:
        assert list(await lane.execute(HELD)) == []
