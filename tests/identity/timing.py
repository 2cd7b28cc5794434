"""Does the time that a refused sign-in takes tell whether the account exists? The full measurement, by hand:

python tests/identity/timing.py

It starts servers of its own, takes 500 samples of each kind in random order, one after the other, and compares the two
distributions with the two-sample Kolmogorov-Smirnov test. It ends with 1 where p is not above 0.01.
"""

import asyncio
import math
import random
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import cycle
from uuid import uuid4

import httpx

from core.app import create_app
from core.db.migrations import upgrade
from core.observe.logs import configure_logs
from core.runtime import make_runtime
from core.testing.stage import set_stage
from core.testing.tenants import Tenant, client_of, make_tenant

SAMPLES = 500
WARM_UP = 20
LOGIN = "/api/v1/auth/login"


async def seconds_of(client: httpx.AsyncClient, email: str) -> float:
    started = time.perf_counter()
    answer = await client.post(LOGIN, json={"email": email, "password": "not the password"})
    seconds = time.perf_counter() - started
    assert answer.status_code == 401, answer.text
    return seconds


async def measure(tenants: Sequence[Tenant], samples: int) -> tuple[list[float], list[float]]:
    """Seconds of refused sign-ins to known and to unknown addresses, taken in random order.

    Each comes from an address of its own and no account is tried so often that it would have to wait.
    """
    known: list[float] = []
    unknown: list[float] = []
    plan = [True] * samples + [False] * samples
    random.shuffle(plan)
    addresses = cycle(tenant.email for tenant in tenants)
    for number, is_known in enumerate([True, False] * (WARM_UP // 2) + plan):
        email = next(addresses) if is_known else f"owner@t-{uuid4().hex[:12]}.example"
        async with client_of(tenants[0].application) as client:
            seconds = await seconds_of(client, email)
        if number >= WARM_UP:
            (known if is_known else unknown).append(seconds)
    return known, unknown


def ks_p_value(one: Sequence[float], other: Sequence[float]) -> float:
    """Of the two-sample Kolmogorov-Smirnov test, by its asymptotic distribution (good from some dozen samples on)."""
    a, b = sorted(one), sorted(other)
    distance = max(abs(bisect_right(a, x) / len(a) - bisect_right(b, x) / len(b)) for x in (*a, *b))
    size = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    scaled = (size + 0.12 + 0.11 / size) * distance
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, sum(terms)))


async def main(samples: int) -> int:
    configure_logs(level="error")
    stage = set_stage()
    addresses = await asyncio.to_thread(stage.start)
    try:
        runtime = make_runtime(addresses.settings(database=addresses.template, namespace="timing"))
        await upgrade(runtime.settings.owner_url, runtime.migration_sets)
        application = create_app(runtime)
        async with application.litestar.lifespan():
            tenants = [await make_tenant(application) for _ in range(samples // 4 + WARM_UP)]
            known, unknown = await measure(tenants, samples)
    finally:
        await asyncio.to_thread(stage.stop)
    p = ks_p_value(known, unknown)
    medians = [1000 * sorted(each)[len(each) // 2] for each in (known, unknown)]
    told = f"medians {medians[0]:.2f} ms known, {medians[1]:.2f} ms unknown; KS p = {p:.3f}"
    sys.stdout.write(f"{samples} samples each: {told}\n")
    return 0 if p > 0.01 else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(SAMPLES)))
