"""The relay: from the outbox to Redis, each due job once a round, again and again until it is done."""

import asyncio
from uuid import uuid4

import pytest
from dramatiq import Message
from redis.exceptions import RedisError
from sqlalchemy import func, select

from core.settings import Settings
from core.tasks.broker import Bell, doorbell_channel, make_broker, redis_client
from core.tasks.models import MAX_ATTEMPTS, OutboxJob
from core.tasks.relay import MAX_PATIENCE_SECONDS, WORKER_LOST, Doorbell
from core.testing.waiting import until
from tests.tasks.conftest import RAN_OUT, RESEND_SECONDS, Bench

AHEAD = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, 60)
CLOSED_PORT = "redis://127.0.0.1:1"


async def test_a_due_job_is_sent_with_nothing_but_its_key(bench: Bench) -> None:
    [job_id] = await bench.enqueue_counting(1)

    sent = await bench.relay().relay_once()

    raw: dict[bytes, bytes] = bench.broker.client.hgetall(f"{bench.broker.namespace}:default.msgs")  # type: ignore[assignment]
    [message] = [Message.decode(found) for found in raw.values()]
    assert sent == 1
    assert (message.args, message.kwargs) == ((str(bench.tenant.organization_id), str(job_id)), {})


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"not_before": AHEAD}, "it is not due"),
        ({"leased_until": AHEAD, "lease": uuid4()}, "a worker holds it"),
        ({"done_at": RAN_OUT}, "it is done"),
        ({"parked_at": RAN_OUT}, "it is parked"),
        ({"actor": "gone.actor"}, "its module is not here"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_job_stays_where_it_is_while(bench: Bench, state: dict[str, object], why: str) -> None:
    waiting, due = await bench.enqueue_counting(2)
    await bench.change(waiting, **state)

    assert await bench.relay().relay_once() == 1

    assert bench.deliveries() == [due], why
    assert (await bench.job(waiting)).sends == 0


async def test_a_job_that_was_sent_and_not_done_is_sent_again_with_growing_patience(bench: Bench) -> None:
    [job_id] = await bench.enqueue_counting(1)
    waits: list[float] = []

    for _ in range(4):
        await bench.change(job_id, not_before=RAN_OUT)
        assert await bench.relay().relay_once() == 1
        assert await bench.relay().relay_once() == 0
        waits.append(await bench.seconds_to_wait(job_id))

    assert waits == [pytest.approx(RESEND_SECONDS * 2**n, abs=0.5) for n in range(4)]
    assert bench.deliveries() == [job_id] * 4


async def test_patience_has_an_end(bench: Bench) -> None:
    [job_id] = await bench.enqueue_counting(1)
    await bench.change(job_id, sends=40)

    await bench.relay().relay_once()

    assert await bench.seconds_to_wait(job_id) == pytest.approx(MAX_PATIENCE_SECONDS, abs=1)


async def test_a_job_that_killed_its_worker_twelve_times_is_parked_with_the_reason(bench: Bench) -> None:
    [job_id] = await bench.enqueue_counting(1)
    await bench.change(job_id, attempts=MAX_ATTEMPTS, lease=uuid4(), leased_until=RAN_OUT)

    await bench.relay().relay_once()

    job = await bench.job(job_id)
    assert job.parked_at is not None
    assert job.last_error == WORKER_LOST
    assert bench.deliveries() == []


async def test_sending_again_keeps_the_reason_of_the_last_failure(bench: Bench) -> None:
    [job_id] = await bench.enqueue_counting(1)
    await bench.change(job_id, attempts=3, last_error="LookupError: the reason")

    await bench.relay().relay_once()

    assert (await bench.job(job_id)).last_error == "LookupError: the reason"


async def test_jobs_that_redis_refuses_are_due_again(bench: Bench) -> None:
    ids = await bench.enqueue_counting(3)
    away = make_broker(CLOSED_PORT, namespace="away")

    with pytest.raises(RedisError, match="3 jobs wait for Redis"):
        await bench.relay(away).relay_once()

    assert [job.sends for job in await bench.jobs()] == [0, 0, 0]
    assert await bench.relay().relay_once() == 3
    assert bench.deliveries() == ids
    away.close()


async def test_two_relays_at_once_send_each_job_once_a_round(bench: Bench) -> None:
    """One row is held for a moment, so that relays which would wait for it have all seen the same jobs as due."""
    held, *free = await bench.enqueue_counting(40)

    async with bench.tenant.database.system() as system:
        await system.execute(select(OutboxJob.id).where(OutboxJob.id == held).with_for_update())
        relaying = [asyncio.create_task(bench.relay().relay_once()) for _ in range(4)]
        await asyncio.sleep(0.3)
    sent = await asyncio.gather(*relaying)

    assert sum(sent) == len(free)
    assert bench.deliveries() == free


async def test_a_relay_does_not_wait_for_jobs_that_another_holds(bench: Bench) -> None:
    held, free = await bench.enqueue_counting(2)

    async with bench.tenant.database.system() as system:
        await system.execute(select(OutboxJob.id).where(OutboxJob.id == held).with_for_update())
        sent = await asyncio.wait_for(bench.relay().relay_once(), timeout=1)

    assert sent == 1
    assert bench.deliveries() == [free]


async def relay_until_delivered(bench: Bench, settings: Settings, *, ring: bool, redis_url: str, poll: float) -> float:
    """Seconds from the commit of a job until a running relay has sent it."""
    namespace = f"bench-{uuid4().hex[:8]}"
    client, caller = redis_client(redis_url, seconds=1), redis_client(settings.redis_url)
    doorbell = Doorbell(client, namespace=namespace, poll=poll)
    relaying = asyncio.create_task(bench.relay().run(doorbell))
    await asyncio.sleep(0.3)
    [job_id] = await bench.enqueue_counting(1)
    bell = Bell(caller, namespace=namespace)
    if ring:
        bell.ring()
    seconds = await until(lambda: bench.deliveries() == [job_id], within=20, every=0.01)
    relaying.cancel()
    await asyncio.wait([relaying])
    await doorbell.close()
    await client.aclose()
    await bell.close()
    await caller.aclose()
    return seconds


async def test_whoever_asks_while_the_doorbell_rings_is_heard_too(settings: Settings) -> None:
    namespace = f"bench-{uuid4().hex[:8]}"
    client, ears = redis_client(settings.redis_url), redis_client(settings.redis_url)
    bell, heard = Bell(client, namespace=namespace), ears.pubsub(ignore_subscribe_messages=True)
    await heard.subscribe(doorbell_channel(namespace))
    await heard.get_message(timeout=1)
    for _ in range(100):
        bell.ring()
    await asyncio.sleep(0)  # now it rings
    bell.ring()

    await bell.close()

    rings = [await heard.get_message(timeout=0.2) for _ in range(4)]
    await heard.aclose()
    await client.aclose()
    await ears.aclose()
    assert [ring is not None for ring in rings] == [True, True, False, False]


async def test_the_doorbell_wakes_the_relay_at_once(bench: Bench, settings: Settings) -> None:
    assert await relay_until_delivered(bench, settings, ring=True, redis_url=settings.redis_url, poll=30) < 5


async def test_a_poll_takes_the_place_of_a_bell_that_is_not_heard(bench: Bench, settings: Settings) -> None:
    assert await relay_until_delivered(bench, settings, ring=True, redis_url=CLOSED_PORT, poll=0.2) < 5
