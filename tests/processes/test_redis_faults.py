"""Redis is a doorbell: while it is away requests succeed as before, and no job is lost, even if it forgot all."""

import asyncio
import logging

from core.testing.waiting import until
from tests.processes.conftest import OpenSite, Site, black_hole
from tests.processes.load import Load, p99, statuses

figures = logging.getLogger("figures")

OUTAGE_SECONDS = 4.0
CALM_SECONDS = 1.5
SLOWER_AT_MOST = 0.25
"""Seconds, beyond twice what the slowest take in calm: whoever waits for a Redis that is away waits longer."""
DONE_WITHIN_SECONDS = 30.0
SUCCESSES = {200, 201, 202}


async def test_redis_may_be_killed_under_load_and_come_back_empty(fragile_site: Site) -> None:
    site, loop = fragile_site, asyncio.get_running_loop()
    await site.deployment.start_both()
    load = Load(await site.new_member())

    async with load.running():
        await asyncio.sleep(CALM_SECONDS)
        killed = loop.time()
        await site.kill_redis()
        await asyncio.sleep(OUTAGE_SECONDS)
        site.redis.start()
        back = loop.time()
        await asyncio.sleep(1)
    recovered = await until(site.is_idle, within=DONE_WITHIN_SECONDS, every=0.1)

    calm, outage = load.since(0, killed), load.since(killed, back)
    figures.info(
        f"calm {load.figures(calm)}; without Redis {load.figures(outage)}; all jobs done after {recovered:.1f} s"
    )
    assert set(statuses(load.answers)) <= SUCCESSES
    assert p99(outage) < 2 * p99(calm) + SLOWER_AT_MOST
    assert await site.effects(load.member.organization_id) == sorted(load.entries)
    assert await site.unfinished_imports(load.member) == 0


async def started(site: Site) -> Load:
    await site.deployment.start_api()
    return Load(await site.new_member())


async def test_a_redis_that_accepts_and_never_answers_slows_no_request(open_site: OpenSite) -> None:
    """Beside one that answers, at the same time: what else the machine does slows both."""
    with black_hole() as port:
        async with open_site() as site, open_site(redis_url=f"redis://127.0.0.1:{port}") as other:
            calm, load = await started(site), await started(other)
            async with calm.running(), load.running():
                await asyncio.sleep(CALM_SECONDS)

    figures.info(f"with Redis {calm.figures(calm.answers)}; with a black hole {load.figures(load.answers)}")
    assert set(statuses(load.answers)) <= SUCCESSES
    assert p99(load.answers) < 2 * p99(calm.answers) + SLOWER_AT_MOST
