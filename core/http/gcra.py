"""How fast somebody may ask: GCRA, counted in Redis by its own clock, all quotas of a request in one round trip.

Where Redis is away nobody waits for it more than once in a while: after a failure it is left alone for some seconds.
What it refused is remembered here until it may be tried again, so that a flood costs no round trip at all; that is
exact, since an arrival time never moves back.
"""

import asyncio
import time
from collections.abc import Sequence
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


class Quota(Struct, frozen=True, kw_only=True):
    """So many requests in so many seconds. All of them may come at once, then one for each that time gives back."""

    name: str
    limit: int
    seconds: int

    @property
    def interval(self) -> float:
        return self.seconds * MICROSECONDS / self.limit


class Standing(Struct, frozen=True, kw_only=True):
    """How somebody stands with a quota after a request."""

    quota: Quota
    wait: float = 0
    """Seconds until the request may come again; 0 where it was let through."""
    reset: float
    """Seconds until the whole quota is there again."""
    remaining: int = 0


class Limiter:
    def __init__(self, client: "redis.asyncio.Redis", *, fail_open: bool) -> None:
        self._script = client.register_script(SCRIPT)
        self._fail_open = fail_open
        self._asks_again = 0.0
        self._refused: dict[str, float] = {}

    async def take(self, quotas: Sequence[tuple[str, Quota]]) -> list[Standing]:
        """Count a request against the quota of each key, unless one refuses it: then against none.

        Empty where Redis is away and requests are let through then, else raises `Unavailable`.
        """
        if (refused := self.refusal(quotas)) is not None:
            return [refused]
        keys = [key for key, _ in quotas]
        arguments = [value for _, quota in quotas for value in (quota.interval, quota.seconds * MICROSECONDS)]
        if (counted := await self._ask(keys, arguments)) is None:
            if self._fail_open:
                return []
            raise Unavailable("Requests can't be counted at the moment")
        standings: list[Standing] = []
        for (key, quota), (wait, reset, remaining) in zip(quotas, _by_three(counted), strict=True):
            standings.append(
                Standing(quota=quota, wait=wait / MICROSECONDS, reset=reset / MICROSECONDS, remaining=remaining)
            )
            if wait:
                self._remember(key, wait / MICROSECONDS)
        return standings

    def refusal(self, quotas: Sequence[tuple[str, Quota]]) -> Standing | None:
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
            async with asyncio.timeout(REDIS_SECONDS):
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
