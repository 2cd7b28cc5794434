"""Every rule judges every twin, in a process of its own: models can't be unimported.

python -m tests.conformance.judging FOLDER, on a stage that was lent: writes `verdicts.json` into the folder, the
breaches by twin and rule.
"""

import asyncio
import logging
import os
import sys
import traceback
from pathlib import Path

import msgspec
import structlog
from msgspec import structs

from core.app import create_app
from core.db.migrations import upgrade
from core.plugs.discovery import Plugs, discover
from core.testing.conformance import RULES, judge, name_of
from core.testing.conformance.candidate import Allowances, Bench, Candidate
from core.testing.import_watch import observed_imports
from core.testing.stage import LENT, Addresses, cloned, runtime_on
from core.testing.tenants import running
from tests.conformance.twinning import SOUND, make, names

VERDICTS = "verdicts.json"
SERVING = "twins"


def install(folder: Path) -> Plugs:
    sys.path.insert(0, str(folder))
    plugs = discover([make(name, folder) for name in (SOUND, *names())])
    if plugs.quarantined:
        raise LookupError(str(plugs.quarantined))
    observed_imports(*(plug.package for plug in plugs))
    return plugs


async def verdict(candidate: Candidate) -> dict[str, list[str]]:
    """The breaches by rule; a rule that could not be tried to its end is broken as well."""
    found: dict[str, list[str]] = {}
    for rule in RULES:
        try:
            breaches = await judge(rule, candidate)
        except Exception:
            breaches = [traceback.format_exc()]
        if breaches:
            found[name_of(rule)] = list(breaches)
    return found


async def judge_all(addresses: Addresses, plugs: Plugs) -> dict[str, dict[str, list[str]]]:
    async with cloned(addresses, SERVING) as settings:
        runtime = runtime_on(structs.replace(settings, default_modules="none"), plugs)
        await upgrade(settings.owner_url, runtime.migration_sets)
        async with (
            cloned(addresses, f"{SERVING}_scratch", template=SERVING) as scratch,
            running(create_app(runtime)) as app,
        ):
            bench = Bench(application=app, scratch=runtime_on(scratch, plugs))
            return {plug.name: await verdict(bench.candidate(plug.name, Allowances())) for plug in plugs}


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder = Path(sys.argv[1])
    verdicts = asyncio.run(judge_all(Addresses.from_text(os.environ[LENT]), install(folder)))
    (folder / VERDICTS).write_bytes(msgspec.json.encode(verdicts))
