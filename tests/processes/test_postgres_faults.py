"""PostgreSQL restarts under load: an honest 503 for a moment, nothing hangs, nothing acknowledged is lost."""

import asyncio
import logging
import signal
from collections import Counter

import asyncpg
import httpx
from sqlalchemy import func, select

from core.db.reads import Read
from core.http.problems import answer_for
from core.settings import Settings
from core.testing.processes import START_SECONDS
from core.testing.tenants import Tenant
from core.testing.waiting import until
from tests.processes.conftest import OpenSite, Site, black_hole
from tests.processes.load import Load, statuses

figures = logging.getLogger("figures")

CALM_SECONDS = 1.0
AWAY_SECONDS = 1.0
WELL_AGAIN_WITHIN_SECONDS = 2.0
HANGS_AT_MOST_SECONDS = 2.0
MARGIN_SECONDS = 0.5
"""For the machine the test runs on, which does all this on few cores."""
DONE_WITHIN_SECONDS = 30.0


async def test_a_restart_and_a_crash_under_load_cost_a_503_and_nothing_more(fragile_site: Site) -> None:
    site, loop = fragile_site, asyncio.get_running_loop()
    api, _ = await site.deployment.start_both()
    load = Load(await site.new_member())
    away: list[tuple[float, float]] = []

    async with load.running():
        for how in (signal.SIGINT, signal.SIGKILL):
            await asyncio.sleep(CALM_SECONDS)
            ended = loop.time()
            await site.restart_postgres(how, away=AWAY_SECONDS)
            away.append((ended, loop.time()))
            await asyncio.sleep(WELL_AGAIN_WITHIN_SECONDS)
        over = loop.time()
    await until(site.is_idle, within=DONE_WITHIN_SECONDS, every=0.1)

    failures = [answer for answer in load.answers if answer.status not in {200, 201, 202}]
    slowest = max(answer.seconds for answer in load.answers)
    assert statuses(failures).keys() == {503}, [line for line in api.read_log().splitlines() if '"error"' in line]
    assert all(answer.retry_after for answer in failures)
    assert slowest < HANGS_AT_MOST_SECONDS
    for (ended, back), until_then in zip(away, (away[1][0], over), strict=True):
        told = [at for at in (answer.at + answer.seconds for answer in failures) if ended <= at < until_then]
        last = max((at - back for at in told), default=0)
        figures.info(
            f"{len(told)} told to come back, slowest {slowest * 1000:.0f} ms, last {last:.2f} s after the start"
        )
        assert told, "the load was not there while PostgreSQL was away"
        assert last < WELL_AGAIN_WITHIN_SECONDS, "it was not well again by then"
    await nothing_acknowledged_is_lost(site, load)


async def nothing_acknowledged_is_lost(site: Site, load: Load) -> None:
    """What was answered with a 503 may have been committed: the answer alone was lost. Nothing counts twice."""
    effects = Counter(await site.effects(load.member.organization_id))
    assert set(load.entries) <= set(effects)
    assert set(effects.values()) == {1}
    assert await site.unfinished_imports(load.member) == 0
    for contact_id in load.contacts:
        answer = await load.member.client.get(f"/api/v1/networking/contacts/{contact_id}")
        assert answer.status_code == 200


async def test_a_postgresql_that_accepts_and_never_answers_hangs_nobody(open_site: OpenSite) -> None:
    loop = asyncio.get_running_loop()
    with black_hole() as port:
        async with open_site(database_url=f"postgresql://plugs@127.0.0.1:{port}/plugs") as site:
            site.deployment.start("serve")
            await until(lambda: is_alive(site), within=START_SECONDS)

            async def sign_in(client: httpx.AsyncClient) -> tuple[int, bool]:
                started = loop.time()
                answer = await client.post("/api/v1/auth/login", json={"email": "a@b.example", "password": "x" * 20})
                return answer.status_code, loop.time() - started < HANGS_AT_MOST_SECONDS + MARGIN_SECONDS

            async with site.deployment.client() as client:
                assert await asyncio.gather(*(sign_in(client) for _ in range(20))) == [(503, True)] * 20


async def is_alive(site: Site) -> bool:
    async with site.deployment.client() as client:
        try:
            return (await client.get("/health/live")).is_success
        except httpx.TransportError:
            return False


async def test_a_read_that_is_cut_off_is_told_as_unavailable(acme: Tenant, settings: Settings) -> None:
    reading = asyncio.create_task(acme.ctx().reads.rows(Read(select(func.pg_sleep(30)))))
    administrator = await asyncpg.connect(settings.database_url)
    sleeping = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event = 'PgSleep' AND application_name LIKE '%:read'"
    )

    async def is_cut_off() -> bool:
        return await administrator.fetchval(sleeping) is True

    await until(is_cut_off, within=5)

    [error] = await asyncio.gather(reading, return_exceptions=True)
    await administrator.close()
    assert isinstance(error, Exception)
    assert answer_for(error, {"state": {}}).problem.status == 503  # type: ignore[typeddict-item]
