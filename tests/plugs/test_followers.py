"""Every process follows a switch in under a second, also one whose listening connection was lost."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

import asyncpg
from sqlalchemy import insert, text

from core.db.announcements import Announcement, announce
from core.db.database import Database
from core.plugs.switchboard import Switch
from core.principal import Principal, PrincipalKind
from core.runtime import Runtime
from core.testing.forking import Forked
from core.testing.processes import environment_of
from core.testing.tenants import Tenant
from core.testing.waiting import until
from core.toggles.models import ModuleState

ROOT = Path(__file__).parents[2]
SAID = {"True\n": True, "False\n": False}
PROCESSES = 16
TIMES = 100
FOLLOWED_WITHIN = 1.0
SOMEBODY = str(uuid4())


@contextmanager
def followers(tenant: Tenant, number: int) -> Iterator[list[IO[str]]]:
    """What so many processes say."""
    settings = tenant.application.runtime.settings
    follow = ("python", "-m", "tests.plugs.follower", settings.database_url, str(tenant.organization_id), "networking")
    with ExitStack() as stack:
        heard: list[IO[str]] = []
        for _ in range(number):
            reader, writer = os.pipe()
            heard.append(stack.enter_context(os.fdopen(reader)))
            process = Forked(*follow, env=environment_of(settings), cwd=ROOT, output=writer)
            os.close(writer)  # ours: so that nobody waits for a process that has died
            stack.callback(process.kill)
        yield heard


async def said(heard: list[IO[str]]) -> list[bool]:
    """The next thing that each of them says."""
    lines = await asyncio.to_thread(lambda: [pipe.readline() for pipe in heard])
    return [SAID[line] for line in lines]


async def test_sixteen_processes_follow_a_hundred_switches_within_a_second(acme: Tenant) -> None:
    """Whoever is late or misses one lets the time-out end the test."""
    switchboard = acme.application.litestar.state.switchboard
    principal = Principal(kind=PrincipalKind.OPERATOR, organization_id=acme.organization_id)
    await switchboard.switch(principal, Switch(module="networking", to=ModuleState.ENABLED))
    followed = 0
    with followers(acme, PROCESSES) as pipes:
        first = await said(pipes)
        for turn in range(TIMES):
            to = ModuleState.ENABLED if turn % 2 else ModuleState.SUSPENDED
            await switchboard.switch(principal, Switch(module="networking", to=to))
            async with asyncio.timeout(FOLLOWED_WITHIN):
                seen = await said(pipes)
            followed += set(seen) == {bool(turn % 2)}

    assert first == [True] * PROCESSES
    assert followed == TIMES


class Ear:
    """What a watcher tells about the topic of modules."""

    def __init__(self) -> None:
        self.heard: list[str | None] = []

    def __call__(self, key: str | None) -> None:
        self.heard.append(key)


async def connection_of(database: Database, name: str) -> int | None:
    async with database.system() as system:
        here = "datname = current_database()"
        statement = text(f"SELECT pid FROM pg_stat_activity WHERE application_name = :name AND {here}")
        return (await system.scalars(statement, {"name": f"plugs:{name}:watch"})).first()


@asynccontextmanager
async def listening(runtime: Runtime, database: Database, name: str) -> AsyncGenerator[Ear]:
    ear = Ear()
    async with runtime.watch(name, {"modules": ear}):
        await until(lambda: bool(ear.heard), within=5)
        ear.heard.clear()
        yield ear


async def change(database: Database, key: str, *, notify: bool = True) -> None:
    async with database.system() as system:
        if notify:
            await announce(system, "modules", key)
        else:
            await system.execute(insert(Announcement).values(topic="modules", key=key))


async def test_a_change_is_told_with_its_key_and_once(scratch: Runtime) -> None:
    async with scratch.open_database("t") as database, listening(scratch, database, "whole") as ear:
        await change(database, SOMEBODY)
        await until(lambda: bool(ear.heard), within=1)
        await asyncio.sleep(0.6)  # the poll has looked meanwhile

    assert ear.heard == [SOMEBODY]


async def test_a_change_that_the_connection_never_told_of_is_seen_within_a_second(scratch: Runtime) -> None:
    """As if the notification had been lost on its way."""
    async with scratch.open_database("t") as database, listening(scratch, database, "deaf") as ear:
        await change(database, SOMEBODY, notify=False)
        await until(lambda: bool(ear.heard), within=1)

    assert ear.heard == [SOMEBODY]


async def test_a_lost_connection_is_made_anew_and_what_was_missed_is_seen(scratch: Runtime) -> None:
    async with scratch.open_database("t") as database, listening(scratch, database, "lost") as ear:
        lost = await connection_of(database, "lost")
        await change(database, SOMEBODY)
        server = await asyncpg.connect(scratch.settings.owner_url)
        await server.execute("SELECT pg_terminate_backend($1)", lost)
        await server.close()
        await until(lambda: None in ear.heard, within=2)
        ear.heard.clear()

        async def is_back() -> bool:
            return await connection_of(database, "lost") not in {None, lost}

        await until(is_back, within=3)
        await until(lambda: None in ear.heard, within=1)
        ear.heard.clear()
        await change(database, SOMEBODY)
        await until(lambda: bool(ear.heard), within=1)

    assert ear.heard == [SOMEBODY]


async def test_an_announcement_that_commits_late_is_not_passed_by(scratch: Runtime) -> None:
    """It got its number before another that was committed, and told, first."""
    early, late = SOMEBODY, str(uuid4())
    async with scratch.open_database("t") as database, listening(scratch, database, "late") as ear:
        async with database.system() as slow:
            await slow.execute(insert(Announcement).values(topic="modules", key=late))
            await change(database, early, notify=False)
            await until(lambda: early in ear.heard, within=1)
        await until(lambda: late in ear.heard, within=1)

    assert ear.heard == [early, late]
