"""How fast somebody may ask: GCRA, counted in Redis by its own clock, all quotas of a request in one round trip.

Whoever asks often is counted several requests at a time: the process takes a lease of them, of a hundredth of the
quota at most, and lets so many pass by itself. All are counted before the first of them passes, so there are never
more than the quota; what is left of a lease after a second is lost to its owner. Whoever asks seldom is counted one
by one.

Where Redis is away nobody waits for it more than once in a while: after a failure it is left alone for some seconds.
What it refused is remembered here until it may be tried again, so that a flood costs no round trip at all; that is
exact, since an arrival time never moves back.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from math import ceil

import redis.asyncio
import structlog
from msgspec import Struct
from redis.exceptions import RedisError

from core.errors import Unavailable
from core.tasks.broker import REDIS_SECONDS

log = structlog.get_logger()

SCRIPT = files("core.http").joinpath("gcra.lua").read_text()
MICROSECONDS = 1_000_000
REST_SECONDS = 5.0
"""How long Redis is left alone after it failed to answer in time."""
REMEMBERED = 10_000
LEASE_SECONDS = 1.0
"""How long what was counted in advance may be used."""
LEASES_IN_A_QUOTA = 100
"""A lease is of a quota's so manieth part at most: that much of it can be lost to each process."""

type Quotas = Sequence[tuple[str, "Quota"]]
"""Each with the key that it is counted under."""


class Quota(Struct, frozen=True, kw_only=True, dict=True):
    """So many requests in so many seconds. All of them may come at once, then one for each that time gives back."""

    name: str
    limit: int
    seconds: int

    @property
    def interval(self) -> float:
        return self.seconds * MICROSECONDS / self.limit

    @cached_property
    def every(self) -> float:
        """The interval in seconds."""
        return self.seconds / self.limit

    @cached_property
    def policy(self) -> str:
        """As the header `RateLimit-Policy` has it."""
        return f'"{self.name}";q={self.limit};w={self.seconds}'


class Standing(Struct, frozen=True, kw_only=True):
    """How somebody stands with a quota after a request."""

    quota: Quota
    wait: float = 0
    """Seconds until the request may come again; 0 where it was let through."""
    reset: float
    """Seconds until the whole quota is there again."""
    remaining: int = 0


def standing_at(quota: Quota, reset: float, *, wait: float = 0) -> Standing:
    """Of a quota that is whole again in `reset` seconds, which Redis rounds up to the next microsecond."""
    remaining = int((quota.seconds - reset + 1 / MICROSECONDS) / quota.every)
    return Standing(quota=quota, wait=wait, reset=reset, remaining=max(0, min(remaining, quota.limit - 1)))


class _Lease:
    """Requests that are counted already, of somebody who asks often."""

    __slots__ = ("left", "size", "standings", "taken_at")

    def __init__(self) -> None:
        self.left = 0
        self.size = 1
        """Of the next one."""
        self.standings: list[Standing] = []
        """Once all that were counted have passed."""
        self.taken_at = 0.0

    def pass_one(self, now: float) -> list[Standing] | None:
        """How its owner stands after one more request; None where that has to be counted first."""
        if not self.left:
            return None
        if (age := now - self.taken_at) >= LEASE_SECONDS:
            self.left, self.size = 0, 1
            return None
        self.left -= 1
        return self._standings(age)

    def claim(self, quotas: Quotas) -> int:
        """How many to count now. Those who ask while the answer is awaited count one each."""
        size, self.size = self.size, 1
        return max(1, min(size, *(quota.limit // LEASES_IN_A_QUOTA for _, quota in quotas)))

    def renew(self, standings: list[Standing], count: int, now: float) -> list[Standing]:
        """After so many were counted, one of which passes now."""
        often = now - self.taken_at < LEASE_SECONDS
        self.left = count - 1 + (self.left if often else 0)
        self.size = max(self.size, count * 2) if often else 1
        self.standings, self.taken_at = standings, now
        return self._standings(0.0)

    def _standings(self, age: float) -> list[Standing]:
        """As if each request were counted when it passes: what is left is given back, and what time has given."""
        return [
            standing_at(s.quota, max(s.quota.every, s.reset - age - self.left * s.quota.every)) for s in self.standings
        ]


class Limiter:
    def __init__(self, client: "redis.asyncio.Redis", *, fail_open: bool, seconds: float = REDIS_SECONDS) -> None:
        """`seconds` is how long Redis is waited for."""
        self._script = client.register_script(SCRIPT)
        self._fail_open = fail_open
        self._seconds = seconds
        self._asks_again = 0.0
        self._refused: dict[str, float] = {}
        self._leases: dict[tuple[str, ...], _Lease] = {}

    async def take(self, quotas: Quotas) -> list[Standing]:
        """Count a request against the quota of each key, unless one refuses it: then against none.

        Empty where Redis is away and requests are let through then, else raises `Unavailable`.
        """
        if (refused := self.refusal(quotas)) is not None:
            return [refused]
        lease = self._lease(tuple([key for key, _ in quotas]))
        if (standings := lease.pass_one(time.monotonic())) is not None:
            return standings
        count = lease.claim(quotas)
        standings = await self._count(quotas, count)
        if count > 1 and any(standing.wait for standing in standings):
            count, standings = 1, await self._count(quotas, 1)  # as many as a lease are not to be had any more
        for (key, _), standing in zip(quotas, standings, strict=False):
            if standing.wait:
                self._remember(key, standing.wait)
        if not standings or any(standing.wait for standing in standings):
            return standings
        return lease.renew(standings, count, time.monotonic())

    def _lease(self, keys: tuple[str, ...]) -> _Lease:
        if (lease := self._leases.get(keys)) is None:
            if len(self._leases) >= REMEMBERED:
                self._leases.clear()  # what is left of them is lost
            lease = self._leases[keys] = _Lease()
        return lease

    async def _count(self, quotas: Quotas, count: int) -> list[Standing]:
        """So many requests at once, which is one that takes so many times as long."""
        arguments = [value for _, quota in quotas for value in (quota.interval * count, quota.seconds * MICROSECONDS)]
        if (counted := await self._ask([key for key, _ in quotas], arguments)) is None:
            if self._fail_open:
                return []
            raise Unavailable("Requests can't be counted at the moment")
        return [
            standing_at(quota, reset / MICROSECONDS, wait=wait / MICROSECONDS)
            for (_, quota), (wait, reset, _) in zip(quotas, _by_three(counted), strict=True)
        ]

    def refusal(self, quotas: Quotas) -> Standing | None:
        """What is known without asking: the first quota of which nothing is to be had yet."""
        now = time.monotonic()
        for key, quota in quotas:
            if (until := self._refused.get(key)) is not None:
                if until > now:
                    return Standing(quota=quota, wait=until - now, reset=until - now)
                del self._refused[key]
        return None

    async def _ask(self, keys: list[str], arguments: list[float]) -> list[int] | None:
        now = time.monotonic()
        if now < self._asks_again:
            return None
        if self._asks_again:
            self._asks_again = now + REST_SECONDS  # one asks whether it is back, the others don't wait for that
        try:
            async with asyncio.timeout(self._seconds):
                counted: list[int] = await self._script(keys, arguments)
        except (RedisError, OSError) as error:
            self._asks_again = time.monotonic() + REST_SECONDS
            log.warning("rate_limits.away", error=type(error).__name__)
            return None
        self._asks_again = 0.0
        return counted

    def _remember(self, key: str, seconds: float) -> None:
        if len(self._refused) >= REMEMBERED:
            self._refused.clear()  # they are refused by Redis as well
        self._refused[key] = time.monotonic() + seconds


def _by_three(counted: list[int]) -> list[tuple[int, int, int]]:
    return [(counted[i], counted[i + 1], counted[i + 2]) for i in range(0, len(counted), 3)]


def tightest(standings: Sequence[Standing]) -> Standing:
    """The one that refuses longest, or else the one of which the least is left."""
    return max(standings, key=lambda standing: (standing.wait, -standing.remaining / standing.quota.limit))


def retry_after(standing: Standing) -> int:
    """In whole seconds, as headers have it."""
    return max(1, ceil(standing.wait))
