"""Modules that can't be used, and modules that are switched, as the processes of a deployment live through it."""

import asyncio
from pathlib import Path

import httpx
from sqlalchemy import text

from core.plugs.switchboard import Switch
from core.principal import Principal, PrincipalKind
from core.runtime import make_runtime
from core.testing.processes import Member
from core.testing.waiting import until
from core.toggles.models import ModuleState
from tests.processes.conftest import OpenSite, Site
from tests.processes.test_import import half_done, is_all_there_once, is_done, upload

BAD = {
    "leaver": ("import sys; sys.exit(3)", "", "SystemExit: 3"),
    "sleeper": ("import time; time.sleep(60)", "", "did not end within 2 seconds"),
    "futurist": ("raise AssertionError('it was imported')", "Requires-Dist: the-plugs>=99\n", "it needs the-plugs>=99"),
}
"""By name: the module's source, what its metadata demand, and what is told of it."""


def install(folder: Path, name: str, source: str, demands: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{demands}")
    (info / "entry_points.txt").write_text(f"[plugs.modules]\n{name} = {name}:module\n")


async def test_modules_that_exit_hang_or_need_another_sdk_are_named_and_the_others_serve(
    open_site: OpenSite, tmp_path: Path
) -> None:
    for name, (source, demands, _) in BAD.items():
        install(tmp_path, name, source, demands)
    async with open_site(import_seconds=2.0) as site:
        site.deployment.add_to_path(tmp_path)
        api = await site.deployment.start_api()
        acme = await site.new_member()

        health = (await acme.client.get("/health")).json()
        contacts = await acme.client.get("/api/v1/networking/contacts")

        assert health["status"] == "degraded"
        assert {name: told["status"] for name, told in health["modules"].items() if name in BAD} == dict.fromkeys(
            BAD, "quarantined"
        )
        assert [name for name, (_, _, says) in BAD.items() if says not in health["modules"][name]["reason"]] == []
        assert contacts.status_code == 200
        assert api.read_log().count("module.quarantined") == len(BAD)


async def plugs(site: Site, *arguments: str) -> str:
    """A command of the command line, to its successful end; returns what it says."""
    process = site.deployment.start(*arguments)
    code = await process.ended()
    assert code == 0, process.read_log()
    return process.read_log()


async def switch_off(site: Site, member: Member) -> None:
    """From here, since a command takes as long to start as the import takes to end."""
    board = make_runtime(site.deployment.settings).switchboard(site.database)
    principal = Principal(kind=PrincipalKind.OPERATOR, organization_id=member.organization_id)
    await board.switch(principal, Switch(module="networking", to=ModuleState.SUSPENDED))


async def gone(member: Member) -> bool:
    answer = await member.client.get("/api/v1/networking/contacts")
    return answer.status_code == 404 and answer.json()["code"] == "module-not-enabled"


async def test_an_import_waits_while_its_module_is_off_and_ends_with_every_row(open_site: OpenSite) -> None:
    async with open_site() as site:
        await site.deployment.start_both()
        acme, globex = await site.new_member(), await site.new_member()
        location = await upload(acme)
        await until(lambda: half_done(site, acme, location), within=10, every=0.01)

        await switch_off(site, acme)
        await until(lambda: gone(acme), within=1)
        await asyncio.sleep(1)  # so long a worker would have taken to go on
        others = await globex.client.get("/api/v1/networking/contacts")
        while_off = await rows_done(site)
        told = await plugs(site, "modules", "enable", "networking", "--tenant", acme.slug)

        assert f"networking is enabled for {acme.slug}; it was suspended" in told
        assert others.status_code == 200
        assert 0 < while_off < 10_000, "it stopped in the middle"
        await until(lambda: back(acme), within=1)
        await until(lambda: is_done(acme, location), within=20, every=0.1)
        assert await is_all_there_once(acme, location)


async def rows_done(site: Site) -> int:
    async with site.database.system() as system:
        return (await system.scalars(text("SELECT rows_done FROM networking.contact_imports"))).one()


async def back(member: Member) -> bool:
    answer: httpx.Response = await member.client.get("/api/v1/networking/contacts")
    return answer.status_code == 200
