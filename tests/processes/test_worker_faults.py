"""Workers die at any moment, or are told to end: what was committed takes effect once, to the row."""

import asyncio
import random
import signal

from core.testing.processes import Member
from core.testing.waiting import until
from tests.processes.conftest import OpenSite, Site, gather_each

KILLS = 4
JOBS = 120
JOB_SECONDS = 0.15
RESUMED_WITHIN_SECONDS = 30.0
EXIT_WITHIN_SECONDS = 30.0


async def enter(member: Member, number: int, *, seconds: float = 0.0, slow_queue: bool = False) -> None:
    body = {"number": number, "seconds": seconds, "slow_queue": slow_queue}
    answer = await member.client.post("/api/v1/ledger/entries", json=body)
    answer.raise_for_status()


async def enter_many(member: Member, jobs: int, *, seconds: float) -> None:
    await gather_each(lambda number: enter(member, number, seconds=seconds), range(jobs), at_once=8)


async def test_workers_killed_at_random_lose_and_double_nothing(open_site: OpenSite) -> None:
    chance = random.Random(7)  # noqa: S311 # nothing here is secret
    async with open_site() as site:
        await site.deployment.start_api()
        member = await site.new_member()
        await enter_many(member, JOBS, seconds=JOB_SECONDS)

        for _ in range(KILLS):
            worker = await site.deployment.start_worker()
            before = len(await site.effects(member.organization_id))
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            worker.kill()
            assert await site.jobs_left() > 0, f"all was done before the worker was killed (from {before})"
        await site.deployment.start_worker()
        await until(site.is_idle, within=RESUMED_WITHIN_SECONDS, every=0.1)

        assert await site.effects(member.organization_id) == list(range(JOBS))


async def test_a_worker_told_to_end_finishes_what_runs_and_hands_back_the_rest(open_site: OpenSite) -> None:
    async with open_site() as site:
        _, worker = await site.deployment.start_both()
        member = await site.new_member()
        await enter_many(member, 3 * site.deployment.settings.worker_threads, seconds=1.0)
        await until(site.has_running_jobs, within=5)

        worker.send(signal.SIGTERM)
        code = await worker.ended(within=EXIT_WITHIN_SECONDS)

        assert code == 0, worker.read_log()[-2000:]
        assert await site.effects(member.organization_id) != []
        assert not await site.has_running_jobs(), "a job was cut off"
        assert await site.jobs_left() > 0
        await site.deployment.start_worker()
        await until(site.is_idle, within=RESUMED_WITHIN_SECONDS, every=0.1)
        assert await site.effects(member.organization_id) == list(range(24))


async def test_a_worker_told_to_end_while_redis_is_away_ends_all_the_same(fragile_site: Site) -> None:
    site = fragile_site
    _, worker = await site.deployment.start_both()
    member = await site.new_member()
    await enter_many(member, 20, seconds=1.0)
    await until(site.has_running_jobs, within=5)
    await site.kill_redis()
    await until(lambda: has_effects(site, member), within=5)

    worker.send(signal.SIGTERM)

    assert await worker.ended(within=EXIT_WITHIN_SECONDS) == 0, worker.read_log()[-2000:]
    assert not await site.has_running_jobs(), "a job was cut off"


async def has_effects(site: Site, member: Member) -> bool:
    return await site.effects(member.organization_id) != []


async def test_slow_work_in_one_queue_holds_up_no_other(open_site: OpenSite) -> None:
    async with open_site() as site:
        await site.deployment.start_both()
        member = await site.new_member()
        threads = site.deployment.settings.worker_threads
        for number in range(2 * threads):
            await enter(member, number, seconds=60, slow_queue=True)
        await until(lambda: site.has_running_jobs(at_least=threads), within=10)

        await enter(member, 1000)

        assert await until(lambda: is_entered(site, member, 1000), within=10) < 2


async def is_entered(site: Site, member: Member, number: int) -> bool:
    return number in await site.effects(member.organization_id)
