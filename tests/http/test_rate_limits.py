"""Rate limits: exactly so many requests, counted for everybody by what they are, and not to be got around."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis.asyncio
from asking import CONTACTS, operations, problem_of
from litestar.routes import HTTPRoute
from msgspec import structs
from serving import client_for, serving

from core.app import Application
from core.errors import Unavailable
from core.http import gcra
from core.http.gcra import MICROSECONDS, SCRIPT, Limiter, Quota
from core.http.rate_limits import RATE, RouteClass, class_of, limited, parse_quotas
from core.permissions import Role
from core.settings import Settings
from core.tasks.broker import REDIS_SECONDS, redis_client
from core.testing.tenants import Tenant, client_of, make_member
from tests.processes.conftest import black_hole

FROZEN = SCRIPT.replace("redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
"""The script with the clock as its last two arguments."""
POLICY = re.compile(r'"[a-z-]+";q=\d+;w=\d+(, "[a-z-]+";q=\d+;w=\d+)*')
STANDING = re.compile(r'"[a-z-]+";r=\d+;t=\d+')
START = 1_800_000_000 * MICROSECONDS


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator["redis.asyncio.Redis"]:
    client = redis_client(settings.redis_url, seconds=5)
    yield client
    await client.aclose()


class Clocked:
    """The script with the time in one's own hand."""

    def __init__(self, client: "redis.asyncio.Redis", *quotas: Quota) -> None:
        assert FROZEN != SCRIPT
        self._script = client.register_script(FROZEN)
        self._keys = [f"test:{uuid4().hex}" for _ in quotas]
        self._arguments = [value for quota in quotas for value in (quota.interval, quota.seconds * MICROSECONDS)]

    async def ask(self, microseconds: int) -> list[int]:
        clock = divmod(START + microseconds, MICROSECONDS)
        return await self._script(self._keys, [*self._arguments, *clock])


def quota(limit: int, seconds: int, name: str = "read-subject") -> Quota:
    return Quota(name=name, limit=limit, seconds=seconds)


async def test_gcra_lets_exactly_the_quota_through_at_once(client: "redis.asyncio.Redis") -> None:
    clocked = Clocked(client, quota(10, 60))

    waits = [await clocked.ask(0) for _ in range(12)]

    assert [wait for wait, _, _ in waits] == [0] * 10 + [6 * MICROSECONDS] * 2
    assert [left for _, _, left in waits] == [*range(9, -1, -1), 0, 0]
    assert [reset for _, reset, _ in waits][-1] == 60 * MICROSECONDS


async def test_gcra_gives_one_back_each_interval_to_the_microsecond(client: "redis.asyncio.Redis") -> None:
    clocked, interval = Clocked(client, quota(10, 60)), 6 * MICROSECONDS
    for _ in range(10):
        await clocked.ask(0)

    assert (await clocked.ask(interval - 1))[0] == 1
    assert (await clocked.ask(interval))[0] == 0
    assert (await clocked.ask(interval))[0] == interval
    assert (await clocked.ask(interval * 3))[0] == 0


async def test_gcra_is_what_the_algorithm_says_at_any_moment(client: "redis.asyncio.Redis") -> None:
    """Against the textbook, at random moments."""
    chance, limit, seconds = random.Random(7), 7, 5  # noqa: S311
    clocked, tolerance = Clocked(client, quota(limit, seconds)), seconds * MICROSECONDS
    interval, arrival, now = tolerance / limit, 0.0, 0
    refused = 0
    for _ in range(300):
        now += chance.randrange(0, int(interval * 1.4))
        expected = max(arrival, now) + interval - tolerance <= now + 1e-3
        wait, _, _ = await clocked.ask(now)

        assert (wait == 0) == expected, now
        refused += not expected
        arrival = max(arrival, now) + interval if expected else arrival
    assert 20 < refused < 280


async def test_a_request_that_one_quota_refuses_costs_nothing_of_another(client: "redis.asyncio.Redis") -> None:
    narrow, wide = quota(1, 60), quota(5, 60)
    clocked = Clocked(client, narrow, wide)

    answers = [await clocked.ask(0) for _ in range(5)]

    assert [answer[3 + 2] for answer in answers] == [4, 4, 4, 4, 4]


async def test_a_clock_that_is_set_back_shuts_nobody_out(client: "redis.asyncio.Redis") -> None:
    clocked = Clocked(client, quota(2, 60))
    await clocked.ask(3600 * MICROSECONDS)
    await clocked.ask(3600 * MICROSECONDS)

    assert (await clocked.ask(0))[0] == 30 * MICROSECONDS
    assert (await clocked.ask(30 * MICROSECONDS))[0] == 0


async def test_nothing_is_left_in_redis_of_a_quota_that_is_whole(client: "redis.asyncio.Redis") -> None:
    limiter, key = Limiter(client, fail_open=False), f"test:{uuid4().hex}"

    await limiter.take([(key, quota(10, 60))])

    assert 5000 < await client.pttl(key) <= 6000


async def test_leases_of_many_processes_never_pass_more_than_the_quota_and_lose_little(
    client: "redis.asyncio.Redis",
) -> None:
    """As fast as each can, until all are refused; next to a narrower quota, which leaves no room for leases."""
    wide, processes, key = quota(2000, 3600), 3, f"test:{uuid4().hex}"
    limiters = [Limiter(client, fail_open=False) for _ in range(processes)]
    round_trips = 0

    async def counted(limiter: Limiter) -> int:
        script, passed = limiter._script, 0

        async def noted(*args: Any) -> Any:
            nonlocal round_trips
            round_trips += 1
            return await script(*args)

        limiter._script = noted  # type: ignore[assignment]
        while True:
            standings = await limiter.take([(key, wide)])
            if standings[0].wait:
                return passed
            passed += 1

    passed = sum(await asyncio.gather(*(counted(limiter) for limiter in limiters for _ in range(4))))

    most_lost = processes * wide.limit // gcra.LEASES_IN_A_QUOTA
    assert wide.limit - most_lost <= passed <= wide.limit + 1  # one may have come back meanwhile
    assert round_trips < passed / 2


async def test_a_lease_tells_what_is_left_as_if_each_were_counted_by_itself(client: "redis.asyncio.Redis") -> None:
    limiter, asked = Limiter(client, fail_open=False), [(f"test:{uuid4().hex}", quota(1000, 36000))]

    left = [(await limiter.take(asked))[0].remaining for _ in range(100)]

    assert left == list(range(999, 899, -1))


async def test_what_is_left_of_a_lease_after_a_while_is_lost(
    client: "redis.asyncio.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter, asked = Limiter(client, fail_open=False), [(f"test:{uuid4().hex}", quota(1000, 36000))]
    for _ in range(5):  # counted are 1, 1, 2 and 4, of which 3 are left
        await limiter.take(asked)
    monkeypatch.setattr(gcra, "LEASE_SECONDS", 0.0)

    standing = await limiter.take(asked)

    assert standing[0].remaining == 1000 - 8 - 1


HOUR = "subject=5/3600"


async def test_rate_limit_gcra_50_in_parallel_exactly_the_quota_passes(settings: Settings, acme: Tenant) -> None:
    async with (
        serving(structs.replace(settings, rate_write=HOUR)) as application,
        client_for(application, acme) as client,
    ):
        answers = await asyncio.gather(*(client.post(CONTACTS, json={"first_name": "Ada"}) for _ in range(50)))

    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(429)) == (5, 45)
    for refused in (answer for answer in answers if answer.status_code == 429):
        assert problem_of(refused, 429, "rate-limited")
        assert 700 <= int(refused.headers["retry-after"]) <= 720
        assert refused.headers["ratelimit-policy"].startswith('"write-subject";q=5;w=3600')
        assert refused.headers["ratelimit"].startswith('"write-subject";r=0;t=')


async def test_each_class_of_routes_is_counted_apart(settings: Settings, acme: Tenant) -> None:
    narrow = structs.replace(settings, rate_write="subject=1/3600", rate_expensive="subject=1/3600")
    async with serving(narrow) as application, client_for(application, acme) as client:
        asked = [("POST", CONTACTS), ("POST", CONTACTS), ("GET", CONTACTS), *[("GET", f"{CONTACTS}/export.csv")] * 2]
        bodies: list[dict[str, Any]] = [{"json": {"first_name": "A"}} if m == "POST" else {} for m, _ in asked]
        answers = [await client.request(*ask, **body) for ask, body in zip(asked, bodies, strict=True)]

    assert [answer.status_code for answer in answers] == [201, 429, 200, 200, 429]


@pytest.mark.parametrize(
    ("counted", "expected"), [("subject", [200, 429, 200, 200]), ("organization", [200, 429, 429, 200])]
)
async def test_a_quota_is_of_the_subject_or_of_the_whole_organization(
    settings: Settings, acme: Tenant, globex: Tenant, counted: str, expected: list[int]
) -> None:
    colleague = await make_member(acme, Role.MEMBER)
    async with serving(structs.replace(settings, rate_read=f"{counted}=1/3600")) as application:
        statuses: list[int] = []
        for tenant in (acme, acme, colleague, globex):
            async with client_for(application, tenant) as client:
                statuses.append((await client.get(CONTACTS)).status_code)

    assert statuses == expected


def from_address(application: Application, address: str, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application, raise_app_exceptions=False, client=(address, 1))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://plugs.test", headers=headers)


@pytest.fixture(scope="module")
async def narrow(settings: Settings) -> AsyncIterator[Application]:
    """From one address one read and three attempts to sign in; each test asks from addresses of its own."""
    rates = {"rate_read": "address=1/3600", "rate_sign_in": "address=3/3600"}
    async with serving(structs.replace(settings, **rates, redis_namespace=uuid4().hex)) as application:
        yield application


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("198.51.100.1", "198.51.100.1", True),
        ("198.51.100.2", "198.51.100.3", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:3::1", "2001:db8:1:4::1", False),
        ("::ffff:198.51.100.4", "198.51.100.4", True),
    ],
)
async def test_an_address_is_an_ipv4_address_or_a_64_of_ipv6(
    narrow: Application, one: str, other: str, same: bool
) -> None:
    async with from_address(narrow, one) as first, from_address(narrow, other) as second:
        (await first.get("/openapi.json")).raise_for_status()
        answer = await second.get("/openapi.json")

    assert answer.status_code == (429 if same else 200)


SPOOFED = {
    "X-Forwarded-For": "198.51.100.11",
    "Forwarded": "198.51.100.12",
    "X-Real-IP": "198.51.100.13",
    "CF-Connecting-IP": "198.51.100.14",
    "True-Client-IP": "198.51.100.15",
}


@pytest.mark.parametrize(("header", "address"), SPOOFED.items())
async def test_spoofed_forwarding_headers_are_ignored(narrow: Application, header: str, address: str) -> None:
    async with from_address(narrow, address) as client:
        answers = [
            await client.post(
                "/api/v1/auth/login",
                json={"email": f"{uuid4().hex}@example.com", "password": "wrong-password"},
                headers={header: f"203.0.113.{i}"},
            )
            for i in range(5)
        ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]


async def test_a_flood_is_refused_before_anything_is_looked_up(settings: Settings, acme: Tenant) -> None:
    own = structs.replace(settings, rate_read="address=2/3600", redis_namespace=uuid4().hex)
    async with serving(own) as application, client_for(application, acme) as client:
        known = [(await client.get(CONTACTS)).status_code for _ in range(3)]
        application.litestar.state.services = structs.replace(
            application.litestar.state.services,
            authenticator=None,  # type: ignore[arg-type] # whoever asked for it would fail
        )
        flood = await client.get(CONTACTS)

    assert known == [200, 200, 429]
    assert problem_of(flood, 429, "rate-limited")


async def test_a_bad_token_counts_against_the_address(settings: Settings) -> None:
    own = structs.replace(settings, rate_read="address=2/3600", redis_namespace=uuid4().hex)
    async with serving(own) as application, client_of(application, token="a.b.c") as client:
        statuses = [(await client.get(CONTACTS)).status_code for _ in range(3)]

    assert statuses == [401, 401, 429]


async def test_every_answer_of_a_limited_route_says_how_one_stands(application: Application, acme: Tenant) -> None:
    unlimited: set[str] = set()
    for operation in operations(application):
        answer = await acme.client.request(operation.method, operation.path())
        if class_of(operation.handler, operation.method) is None:
            unlimited.add(operation.template)
            assert "ratelimit" not in answer.headers
        else:
            assert POLICY.fullmatch(answer.headers["ratelimit-policy"]), operation.id
            assert STANDING.fullmatch(answer.headers["ratelimit"]), operation.id

    assert unlimited == {
        "/metrics",
        "/health",
        "/health/live",
        "/health/ready",
        "/health/db",
        "/api/v1/health/database",
        "/api/v1/health/redis",
    }


def test_every_route_has_a_class_with_quotas(application: Application) -> None:
    rates = Settings().rates
    assert set(rates) == set(RouteClass)
    classes = {
        class_of(handler, method)
        for route in application.litestar.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
    }
    assert classes == {*RouteClass, None}
    assert all("address" in parse_quotas(name, rate) for name, rate in rates.items())


def test_a_class_that_there_is_not_is_refused_when_the_route_is_made() -> None:
    assert limited("expensive") == {RATE: RouteClass.EXPENSIVE}
    with pytest.raises(ValueError, match="cheap"):
        limited("cheap")


async def test_a_redis_that_says_nothing_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcra, "REST_SECONDS", 0.5)
    with black_hole() as port:
        away = redis_client(f"redis://127.0.0.1:{port}")
        limiter, asked = Limiter(away, fail_open=True), [("test:x", quota(1, 60))]
        took: list[float] = []
        for _ in range(50):
            began = time.perf_counter()
            assert await limiter.take(asked) == []
            took.append(time.perf_counter() - began)
        await asyncio.sleep(0.5)
        began = time.perf_counter()
        await asyncio.gather(*(limiter.take(asked) for _ in range(20)))
        again = time.perf_counter() - began
        await away.aclose()

    assert took[0] < REDIS_SECONDS + 0.15
    assert max(took[1:]) < 0.02
    assert REDIS_SECONDS * 0.9 < again < REDIS_SECONDS + 0.15


async def test_counting_goes_on_once_redis_is_back(
    client: "redis.asyncio.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcra, "REST_SECONDS", 0.05)
    limiter, asked = Limiter(client, fail_open=True), [(f"test:{uuid4().hex}", quota(1, 60))]
    with black_hole() as port:
        away = redis_client(f"redis://127.0.0.1:{port}")
        limiter._script, here = away.register_script(SCRIPT), limiter._script
        assert await limiter.take(asked) == []
        await away.aclose()
    limiter._script = here
    await asyncio.sleep(0.06)

    first, second = await limiter.take(asked), await limiter.take(asked)

    assert (first[0].wait, second[0].wait > 0) == (0, True)


@pytest.mark.parametrize("fail_open", [True, False])
async def test_whether_requests_pass_without_redis_is_a_setting(
    settings: Settings, acme: Tenant, fail_open: bool
) -> None:
    with black_hole() as port:
        own = structs.replace(
            settings, redis_url=f"redis://127.0.0.1:{port}", redis_seconds=0.2, rate_fail_open=fail_open
        )
        async with serving(own) as application, client_for(application, acme) as client:
            answer = await client.get(CONTACTS)
            alive = await client.get("/health/live")

    assert alive.status_code == 200
    if fail_open:
        assert answer.status_code == 200
    else:
        assert problem_of(answer, 503, Unavailable.code)
