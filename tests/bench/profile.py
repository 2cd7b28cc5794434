"""Where the time of one route goes: the server under load, its stacks sampled from outside.

    make profile ROUTE='/api/v1/networking/contacts?limit=20'

Prints how much of the time was spent in each function (with all that it called), and at its own lines alone.
"""

import argparse
import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.bench.load import Request
from tests.bench.site import PEERS_PYTHON, TENANTS, Server, open_site
from tests.bench.works import drive

SAMPLES_A_SECOND = 400
CONTACTS_EACH = 2_000
SHOWN = 50


def profile(route: str, *, seconds: int) -> str:
    with open_site() as site:
        asyncio.run(site.fill(TENANTS, CONTACTS_EACH))
        with site.serve("ours") as server:
            asyncio.run(site.sign_in(server.port, TENANTS))
            asked = [
                Request(path=route, headers={"authorization": f"Bearer {tenant.token}"}) for tenant in site.tenants
            ]
            drive(server, asked, seconds=1)
            stacks = site.folder / "stacks.txt"
            with _sampling(server, stacks, seconds=seconds) as sampler:
                result = drive(server, asked, seconds=seconds)
                sampler.wait()
            return f"{route}: {result.per_second:.0f} a second while sampled\n\n{_table(stacks)}"


def _sampling(server: Server, stacks: Path, *, seconds: int) -> "subprocess.Popen[bytes]":
    sampler = PEERS_PYTHON.with_name("py-spy")
    command = [str(sampler), "record", "--pid", str(server.pid), "--duration", str(seconds)]
    command += ["--rate", str(SAMPLES_A_SECOND), "--format", "raw", "--output", str(stacks)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _table(stacks: Path) -> str:
    """Each line of the file is a stack, from the outermost call to the innermost, and how often it was met."""
    within: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for line in stacks.read_text().splitlines():
        stack, _, times = line.rpartition(" ")
        functions = [frame.rpartition(":")[0] for frame in stack.split(";")]
        alone[functions[-1]] += int(times)
        for function in set(functions):
            within[function] += int(times)
    total = alone.total() or 1
    parts = [("with what it calls", within), ("alone", alone)]
    return "\n".join(
        f"{title}\n" + "\n".join(f"{times / total:7.1%}  {name})" for name, times in counted.most_common(SHOWN)) + "\n"
        for title, counted in parts
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__)
    parser.add_argument("route", help="a path with its query, asked with GET by owners of organizations")
    parser.add_argument("--seconds", type=int, default=6)
    given = parser.parse_args()
    if not given.route.startswith("/"):
        parser.error(f"ROUTE is a path, such as /api/v1/networking/contacts?limit=20, and not {given.route!r}")
    sys.stdout.write(profile(given.route, seconds=given.seconds))


if __name__ == "__main__":
    main()
