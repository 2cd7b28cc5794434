"""Measure all of it, print the table, and write docs/performance.md and docs/performance.json."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import structlog
from msgspec import Struct

from tests.bench import background, standing
from tests.bench.report import Goal, Row, table, write
from tests.bench.site import CONTACTS_EACH, PEERS_PYTHON, ROOT, TENANTS, Server, Site, open_site
from tests.bench.works import WORKS, drive, requests_of

PEERS = ("ours", "floor", "seed_stack")


class Options(Struct, frozen=True, kw_only=True):
    rounds: int
    seconds: float
    only: str

    def wants(self, work: str) -> bool:
        return self.only.lower() in work.lower()


def over_http(site: Site, options: Options) -> list[Row]:
    rows: list[Row] = []
    with ExitStack() as stack:
        servers = [stack.enter_context(site.serve(name)) for name in PEERS]
        asyncio.run(site.sign_in(servers[0].port, TENANTS))
        for work in WORKS:
            if not options.wants(work.name):
                continue
            found: dict[str, list[float]] = {name: [] for name in PEERS}
            for turn in range(options.rounds):
                for server in _rotated(servers, turn):
                    result = drive(server, requests_of(work, site, server.name), seconds=options.seconds)
                    found[server.name].append(result.per_second)
            goal = Goal(of_floor=work.goal_of_floor, times_seed_stack=work.goal_times_seed)
            rows.append(Row(work=work.name, unit="/s", goal=goal, **found))
            _say(table(rows[-1:]).splitlines()[-1])
    return rows


def _rotated(servers: list[Server], turn: int) -> list[Server]:
    """Each goes first once in three rounds: whatever the machine does meanwhile falls on all alike."""
    first = turn % len(servers)
    return [*servers[first:], *servers[:first]]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def measure(options: Options, keep: Callable[[list[Row]], None]) -> list[Row]:
    """`keep` gets all rows there are, after each part: what was measured is not lost with what fails after it."""
    parts: list[tuple[str, Callable[[Site], Row]]] = [
        (standing.START, standing.measure_start),
        (standing.MEMORY, standing.measure_memory),
        (background.IMPORT, partial(background.measure_import, rounds=options.rounds)),
        (background.JOBS, partial(background.measure_jobs, rounds=options.rounds)),
        (background.SCORES, partial(background.measure_scores, rounds=options.rounds)),
        (standing.GROWTH, standing.measure_growth),
    ]
    with open_site() as site:
        asyncio.run(site.fill(TENANTS, CONTACTS_EACH))
        asyncio.run(site.fill_seed())
        rows = over_http(site, options)
        keep(rows)
        for name, part in parts:
            if options.wants(name):
                rows.append(part(site))
                _say(table(rows[-1:]).splitlines()[-1])
                keep(rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="`--rounds 1 --seconds 1` for a quick look")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each peer, in each round")
    parser.add_argument("--only", default="", help="works whose name holds these words; writes no files")
    parser.add_argument("--output", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    if not PEERS_PYTHON.exists():
        parser.error("`make bench` makes the peers' environment first")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))  # the table is what is printed
    options = Options(rounds=given.rounds, seconds=given.seconds, only=given.only)

    def keep(rows: list[Row]) -> None:
        if not options.only:
            write(rows, given.output, rounds=options.rounds)

    _say(f"\n{table(measure(options, keep))}")


if __name__ == "__main__":
    main()
