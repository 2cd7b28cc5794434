"""What a request asks to be done later is part of its transaction: it happens if, and only if, that one commits."""

from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import pytest
import structlog
from sqlalchemy import select

from core.tasks.context import Ctx
from core.tasks.models import DomainEvent
from core.tasks.registry import TaskRegistry, subscribe
from core.testing.tenants import Tenant
from tests.tasks.conftest import Bench, Counted


async def test_events_and_jobs_commit_with_the_change_they_belong_to(bench: Bench) -> None:
    ctx = bench.ctx()
    ctx.emit(Counted(number=1))
    ctx.enqueue(bench.counting, number=2)

    await ctx.commit()

    await ctx.close()
    assert await bench.effects() == [1]
    assert [job.arguments for job in await bench.jobs()] == [{"number": 2}]


async def test_nothing_is_emitted_or_enqueued_by_a_transaction_that_rolls_back(bench: Bench) -> None:
    ctx = bench.ctx()
    ctx.emit(Counted(number=1))
    ctx.enqueue(bench.counting, number=2)
    await ctx.db.flush()

    await ctx.rollback()

    await ctx.close()
    assert await bench.effects() == []
    assert await bench.jobs() == []


async def test_what_was_told_is_taken_back_even_where_no_transaction_was_begun(bench: Bench) -> None:
    ctx = bench.ctx()
    ctx.emit(Counted(number=1))

    await ctx.rollback()
    ctx.emit(Counted(number=2))
    await ctx.commit()

    await ctx.close()
    assert await bench.effects() == [2]


async def test_a_savepoint_that_is_rolled_back_takes_with_it_what_was_told_since(bench: Bench) -> None:
    ctx = bench.ctx()
    ctx.emit(Counted(number=1))
    with pytest.raises(LookupError):
        async with ctx.db.begin_nested():
            ctx.emit(Counted(number=2))
            ctx.enqueue(bench.counting, number=3)
            async with ctx.db.begin_nested():
                ctx.emit(Counted(number=4))
            raise LookupError
    async with ctx.db.begin_nested():
        ctx.emit(Counted(number=5))

    await ctx.commit()

    await ctx.close()
    assert await bench.effects() == [1, 5]
    assert await bench.jobs() == []


async def test_no_other_way_of_committing_loses_what_was_told(bench: Bench) -> None:
    ctx = bench.ctx()

    with pytest.raises(RuntimeError, match="has to be written"):
        async with ctx.db.begin():
            ctx.emit(Counted(number=1))

    await ctx.close()
    assert await bench.effects() == []


async def test_the_stream_has_events_in_the_order_in_which_they_were_told(bench: Bench) -> None:
    ctx = bench.ctx()
    for number in range(300):
        ctx.emit(Counted(number=number))
    ctx.enqueue(bench.counting, number=0)

    await ctx.commit()

    await ctx.close()
    mine = DomainEvent.organization_id == bench.tenant.organization_id
    async with bench.tenant.database.system() as system:
        told = await system.scalars(select(DomainEvent.payload).where(mine).order_by(DomainEvent.sequence))
        assert [payload["number"] for payload in told] == list(range(300))


@pytest.mark.parametrize("arguments", [{}, {"number": "one"}, {"number": 1, "unknown": 2}])
async def test_arguments_that_do_not_fit_the_actor_are_refused_at_once(
    bench: Bench, arguments: dict[str, object]
) -> None:
    ctx = bench.ctx()

    with pytest.raises(msgspec.ValidationError):
        ctx.enqueue(bench.counting, **arguments)

    await ctx.commit()
    await ctx.close()
    assert await bench.jobs() == []


async def test_a_subscriber_gets_each_event_it_follows_in_a_job_of_its_own(bench: Bench) -> None:
    heard: list[Counted] = []

    @subscribe(Counted)
    async def listen(ctx: Ctx, event: Counted) -> None:
        heard.append(event)

    bench.add(msgspec.structs.replace(listen, name=f"{bench.name}.listen"))
    ctx = bench.ctx()
    ctx.emit(Counted(number=7))
    ctx.emit(Counted(number=8))
    await ctx.commit()
    await ctx.close()

    for job in await bench.jobs():
        await bench.run(job.id)

    assert sorted(event.number for event in heard) == [7, 8]


async def test_a_delayed_job_is_not_begun_before_its_time(bench: Bench) -> None:
    ctx = bench.ctx()
    job_id = ctx.enqueue(bench.counting, delay=timedelta(minutes=5), number=1)
    await ctx.commit()
    await ctx.close()

    await bench.run(job_id)

    assert await bench.effects() == []
    assert 290 < await bench.seconds_to_wait(job_id) <= 300


async def test_correlation_id_and_user_reach_the_job_and_its_log(bench: Bench) -> None:
    seen: list[tuple[str, UUID | None, dict[str, object]]] = []

    async def look(ctx: Ctx) -> None:
        seen.append((ctx.correlation_id, ctx.user_id, structlog.contextvars.get_contextvars()))

    looking = bench.actor(look)
    correlation_id = uuid4().hex
    ctx = bench.ctx(correlation_id)
    job_id = ctx.enqueue(looking)
    await ctx.commit()
    await ctx.close()

    await bench.run(job_id)

    tenant = bench.tenant
    assert [(found, user) for found, user, _ in seen] == [(correlation_id, tenant.user_id)]
    assert seen[0][2] == {
        "correlation_id": correlation_id,
        "organization_id": str(tenant.organization_id),
        "user_id": str(tenant.user_id),
        "actor": looking.name,
        "job_id": str(job_id),
    }


async def test_the_correlation_id_of_a_request_reaches_the_jobs_it_enqueues(acme: Tenant, bench: Bench) -> None:
    answer = await acme.client.post(
        "/api/v1/networking/imports",
        files={"file": ("contacts.csv", b"first_name\nAda\n", "text/csv")},
        headers={"x-correlation-id": "from-the-request"},
    )

    assert answer.status_code == 202
    assert [(job.correlation_id, job.user_id) for job in await bench.jobs()] == [("from-the-request", acme.user_id)]


async def test_two_actors_of_one_name_are_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match=bench.counting.name):
        TaskRegistry([bench.counting, bench.counting])
