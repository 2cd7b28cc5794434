"""What a serving process costs before it does anything, and what growth costs it."""

import asyncio
import time
from pathlib import Path

from tests.bench.report import Goal, Row
from tests.bench.site import TENANTS, Server, Site
from tests.bench.works import WORKS, drive, requests_of

START = "start of `plugs serve` to first 200"
MEMORY = "memory of an idle API process"
GROWTH = "p99 list at 1,000,000 rows / 1,000 tenants against 100,000 / 10"
MANY_TENANTS, FEW_EACH = 1000, 910
ROUNDS = 5


def measure_start(site: Site) -> Row:
    seconds: list[float] = []
    for _ in range(ROUNDS):
        with site.serve("ours") as server:
            seconds.append(server.seconds_to_start)
    return Row(work=START, unit="s", goal=Goal(at_most=1.5), ours=seconds)


def measure_memory(site: Site) -> Row:
    """Resident memory once it has answered, and a second has passed."""
    megabytes: list[float] = []
    for _ in range(ROUNDS):
        with site.serve("ours") as server:
            time.sleep(1)
            megabytes.append(_resident(server) / 1_048_576)
    return Row(work=MEMORY, unit="MB", goal=Goal(at_most=120), ours=megabytes)


def _resident(server: Server) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def measure_growth(site: Site) -> Row:
    """The same load on the same ten tenants, before and after the table has grown tenfold around them."""
    before = _p99(site)
    asyncio.run(site.fill(MANY_TENANTS, FEW_EACH))
    after = _p99(site)
    growth = [b / a for a, b in zip(before, after, strict=True)]
    return Row(work=GROWTH, unit="times", goal=Goal(at_most=1.15), ours=growth)


def _p99(site: Site) -> list[float]:
    with site.serve("ours") as server:
        asyncio.run(site.sign_in(server.port, TENANTS))
        requests = requests_of(WORKS[0], site, "ours")
        drive(server, requests, seconds=1)
        return sorted(drive(server, requests, seconds=3).percentile(0.99) for _ in range(ROUNDS))
