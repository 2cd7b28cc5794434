"""A module leaves: one organization's data are taken out and removed, and in the end its schema, and nobody else's."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct
from sqlalchemy import func, select, text

from core.db.database import Database
from core.db.migrations import upgrade
from core.errors import Conflict, NotFound
from core.plugs.removal import Tombstone, purge, uninstall
from core.plugs.switchboard import Switch
from core.principal import Principal, PrincipalKind
from core.runtime import Runtime
from core.tasks.models import OutboxJob
from core.testing.rows import Rows, tenant_tables
from core.testing.tenants import Tenant
from core.toggles.models import ModuleState, OrganizationModule


async def switch(tenant: Tenant, to: ModuleState) -> None:
    board = tenant.application.litestar.state.switchboard
    principal = Principal(kind=PrincipalKind.OPERATOR, organization_id=tenant.organization_id)
    await board.switch(principal, Switch(module="networking", to=to))


async def fill(tenant: Tenant, mark: str) -> None:
    """A row in each of networking's tables, and a job."""
    rows = Rows(tenant.organization_id, mark=mark)
    for table in tenant_tables():
        if table.schema == "networking":
            rows.add(table)
    async with tenant.database.system() as system:
        await rows.write(system)
        system.add(OutboxJob(organization_id=tenant.organization_id, actor="networking.run_import", user_id=None))


async def left(database: Database, organization_id: UUID) -> dict[str, int]:
    async with database.system() as system:
        counts = {
            table.fullname: await system.scalar(
                select(func.count()).select_from(table).where(table.c.organization_id == organization_id)
            )
            for table in tenant_tables()
            if table.schema == "networking"
        }
        counts["jobs"] = await system.scalar(
            select(func.count()).where(
                OutboxJob.organization_id == organization_id, OutboxJob.actor.startswith("networking.")
            )
        )
    return {name: count or 0 for name, count in counts.items()}


class Export(Struct):
    """What lies in the folder of an export."""

    rows: dict[str, list[dict[str, Any]]]
    sha256: dict[str, str]
    manifest: dict[str, Any]
    unfinished: list[Path]


def read_export(directory: Path) -> Export:
    files = sorted(directory.glob("*.jsonl"))
    return Export(
        rows={file.stem: [json.loads(line) for line in file.read_text().splitlines()] for file in files},
        sha256={file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        manifest=json.loads((directory / "manifest.json").read_text()),
        unfinished=list(directory.parent.glob("*.partial")),
    )


async def purged(tenant: Tenant, folder: Path, *, early: bool = True) -> Tombstone:
    await switch(tenant, ModuleState.ENABLED)
    await switch(tenant, ModuleState.DISABLED)
    return await purge(tenant.database, tenant.organization_id, "networking", folder, early=early)


async def test_a_purge_leaves_nothing_of_one_organization_and_everything_of_another(
    acme: Tenant, globex: Tenant, tmp_path: Path
) -> None:
    await fill(acme, "acme")
    await fill(globex, "globex")
    before = await left(acme.database, globex.organization_id)

    await purged(acme, tmp_path)

    assert set((await left(acme.database, acme.organization_id)).values()) == {0}
    assert await left(acme.database, globex.organization_id) == before
    assert 0 not in before.values(), "every table had a row, else this would prove nothing"


async def test_the_export_holds_every_row_and_its_digests_are_right(acme: Tenant, tmp_path: Path) -> None:
    await fill(acme, "canary-of-acme")

    tombstone = await purged(acme, tmp_path)

    export = read_export(Path(tombstone.directory))
    assert {f"networking.{name}": len(rows) for name, rows in export.rows.items()} == tombstone.rows
    assert export.sha256 == tombstone.sha256
    assert export.manifest["rows"] == tombstone.rows
    assert "canary-of-acme" in export.rows["contacts"][0]["first_name"]
    assert export.unfinished == []


async def test_the_tombstone_stays_and_the_module_can_come_back_empty(acme: Tenant, tmp_path: Path) -> None:
    await fill(acme, "acme")
    tombstone = await purged(acme, tmp_path)
    async with acme.database.system() as system:
        row = (
            await system.scalars(
                select(OrganizationModule).where(OrganizationModule.organization_id == acme.organization_id)
            )
        ).one()
    await switch(acme, ModuleState.ENABLED)

    answer = await acme.client.get("/api/v1/networking/contacts")

    assert row.state == ModuleState.PURGED
    assert row.tombstone is not None
    assert row.tombstone["sha256"] == tombstone.sha256
    assert answer.json()["items"] == []


async def test_what_is_in_use_or_still_kept_is_not_purged(acme: Tenant, tmp_path: Path) -> None:
    await fill(acme, "acme")
    await switch(acme, ModuleState.ENABLED)
    with pytest.raises(Conflict) as in_use:
        await purge(acme.database, acme.organization_id, "networking", tmp_path)
    await switch(acme, ModuleState.DISABLED)
    with pytest.raises(Conflict) as kept:
        await purge(acme.database, acme.organization_id, "networking", tmp_path)

    assert (in_use.value.code, kept.value.code) == ("module-not-disabled", "module-retained")
    assert 0 not in (await left(acme.database, acme.organization_id)).values()


async def test_data_may_go_once_they_need_not_be_kept(acme: Tenant, tmp_path: Path) -> None:
    await fill(acme, "acme")
    await switch(acme, ModuleState.ENABLED)
    await switch(acme, ModuleState.DISABLED)
    async with acme.database.system() as system:
        row = (
            await system.scalars(
                select(OrganizationModule).where(OrganizationModule.organization_id == acme.organization_id)
            )
        ).one()
        assert row.retained_until is not None
        row.retained_until -= timedelta(days=31)

    await purge(acme.database, acme.organization_id, "networking", tmp_path)

    assert set((await left(acme.database, acme.organization_id)).values()) == {0}


async def test_a_folder_that_can_not_be_written_loses_nothing(acme: Tenant, tmp_path: Path) -> None:
    await fill(acme, "acme")
    blocked = tmp_path / "a-file"
    blocked.write_text("in the way")

    with pytest.raises(OSError):
        await purged(acme, blocked)

    assert 0 not in (await left(acme.database, acme.organization_id)).values()


@pytest.mark.parametrize("name", ["core", "public", "pg_catalog", "absent"])
async def test_what_is_no_module_is_not_uninstalled(scratch: Runtime, name: str) -> None:
    with pytest.raises(NotFound):
        await uninstall(scratch.settings.owner_url, name)


async def states_of(runtime: Runtime, state: ModuleState | None) -> None:
    """Give an organization networking in this state."""
    async with runtime.open_database("t") as database, database.system() as system:
        organization = UUID(int=1)
        await system.execute(text("DELETE FROM core.organization_modules"))
        if state is not None:
            system.add(OrganizationModule(organization_id=organization, module="networking", state=state.value))


@pytest.mark.parametrize("state", [ModuleState.ENABLED, ModuleState.SUSPENDED, ModuleState.DISABLED])
async def test_a_module_in_use_is_not_uninstalled(scratch: Runtime, state: ModuleState) -> None:
    await states_of(scratch, state)

    with pytest.raises(Conflict) as refused:
        await uninstall(scratch.settings.owner_url, "networking")

    assert refused.value.code == "module-in-use"


async def test_an_uninstalled_module_is_gone_and_can_be_installed_again(scratch: Runtime) -> None:
    await states_of(scratch, ModuleState.PURGED)

    tables = await uninstall(scratch.settings.owner_url, "networking")
    async with scratch.open_database("t") as database, database.system() as system:
        gone = await system.scalar(text("SELECT to_regnamespace('networking') IS NULL"))
    await upgrade(scratch.settings.owner_url, scratch.migration_sets)
    async with scratch.open_database("t") as database:
        back = await left(database, UUID(int=1))

    assert "networking.contacts" in tables
    assert gone
    assert set(back.values()) == {0}
