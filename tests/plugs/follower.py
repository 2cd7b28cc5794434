"""A process that follows one organization's modules as every API and worker process does, and says what it sees.

`python -m tests.plugs.follower DATABASE_URL ORGANIZATION_ID MODULE` writes a line, whether the module is on: at once,
and whenever it learns of a change.
"""

import asyncio
import sys
from collections.abc import Sequence
from uuid import UUID

from core.db.announcements import Watcher
from core.db.database import connect, open_database
from core.db.tenancy import SYSTEM_ROLE, TenantConnection
from core.toggles.catalogue import ModuleCatalogue
from core.toggles.states import TOPIC, ModuleStates


async def decided(_organization_id: UUID, _modules: Sequence[str]) -> None:
    """Nothing is undecided here."""


async def follow(url: str, organization_id: UUID, module: str) -> None:
    async def listen() -> TenantConnection:
        return await connect(url, role=SYSTEM_ROLE, name="follower")

    async with open_database(app_url=url, system_url=url, pool=1, name="follower") as database:
        states = ModuleStates(database, ModuleCatalogue(names=frozenset({module})), settle=decided)
        watcher, changed, said = Watcher(listen), asyncio.Event(), None
        watcher.on(TOPIC, states.forget)
        watcher.on(TOPIC, lambda _: changed.set())
        watching = asyncio.create_task(watcher.run())
        while not watching.done():
            enabled = module in (await states.of(organization_id)).enabled
            if enabled != said:
                sys.stdout.write(f"{enabled}\n")
                sys.stdout.flush()
                said = enabled
            await changed.wait()
            changed.clear()


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1], UUID(sys.argv[2]), sys.argv[3]))
