"""SIGTERM to the API: readiness fails first, requests in flight get their answer, then it is gone."""

import asyncio
import signal

from core.testing.processes import Member
from core.testing.waiting import until
from tests.processes.conftest import OpenSite, Site

IN_FLIGHT_SECONDS = 1.5
DRAIN_SECONDS = 1.0


async def patient_requests(member: Member, requests: int) -> list[asyncio.Task[int]]:
    async def ask() -> int:
        answer = await member.client.get("/api/v1/ledger/patience", params={"seconds": IN_FLIGHT_SECONDS})
        return answer.status_code

    tasks = [asyncio.create_task(ask()) for _ in range(requests)]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks)
    return tasks


async def test_requests_in_flight_are_answered(open_site: OpenSite) -> None:
    async with open_site() as site:
        api = await site.deployment.start_api()
        waiting = await patient_requests(await site.new_member(), 5)

        api.send(signal.SIGTERM)

        assert await asyncio.gather(*waiting) == [200] * 5
        await api.ended(within=5)


async def test_readiness_fails_first_while_requests_are_still_served(open_site: OpenSite) -> None:
    async with open_site(drain_seconds=DRAIN_SECONDS) as site:
        api = await site.deployment.start_api()
        member = await site.new_member()
        loop = asyncio.get_running_loop()

        api.send(signal.SIGTERM)
        told = loop.time()

        await until(lambda: is_unready(site), within=DRAIN_SECONDS / 2)
        assert (await member.client.get("/api/v1/users/me")).status_code == 200
        await api.ended(within=5)
        assert loop.time() - told >= DRAIN_SECONDS


async def is_unready(site: Site) -> bool:
    async with site.deployment.client() as client:
        return (await client.get("/health/ready")).status_code == 503
