"""What one process knows of the organizations' modules: read once, forgotten when an announcement says so."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import select

from core.db.database import Database
from core.db.reads import Read, mine
from core.db.tenancy import TenantContext
from core.toggles.catalogue import ModuleCatalogue, TenantModules
from core.toggles.models import ModuleState, OrganizationModule

TOPIC = "modules"
KEPT = 20_000
"""Organizations that a process remembers; those it has known longest give way."""

type Settle = Callable[[UUID, Sequence[str]], Awaitable[None]]

_STATES = Read(
    select(OrganizationModule.module, OrganizationModule.state, OrganizationModule.settings).where(
        mine(OrganizationModule)
    )
)


class ModuleStates:
    """`await states.of(organization_id)` costs nothing but the first time, and after a change."""

    def __init__(self, database: Database, catalogue: ModuleCatalogue, *, settle: Settle) -> None:
        """`settle(organization_id, modules)` decides about modules that are on by default and have no row yet, since
        the organization, or the module, is new."""
        self._database = database
        self._catalogue = catalogue
        self._settle = settle
        self._known: dict[UUID, TenantModules] = {}
        self._changes = 0

    def forget(self, key: str | None) -> None:
        """`key` names the organization; None means all."""
        self._changes += 1
        if key is None:
            self._known.clear()
        else:
            self._known.pop(UUID(key), None)

    async def of(self, organization_id: UUID) -> TenantModules:
        known = self._known.get(organization_id)
        if known is not None:
            return known
        found, changes = await self._load(organization_id)
        if changes == self._changes:  # else what was read may be older than what was announced meanwhile
            if len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)), None)
            self._known[organization_id] = found
        return found

    async def _load(self, organization_id: UUID) -> tuple[TenantModules, int]:
        reads = self._database.reads(TenantContext(organization_id=organization_id))
        changes = self._changes
        rows = await reads.rows(_STATES)
        undecided = self._catalogue.on_by_default - {row["module"] for row in rows}
        if undecided:
            await self._settle(organization_id, sorted(undecided))
            changes = self._changes
            rows = await reads.rows(_STATES)
        installed = [row for row in rows if row["module"] in self._catalogue.names]
        return (
            TenantModules(
                enabled=frozenset(row["module"] for row in installed if row["state"] == ModuleState.ENABLED),
                suspended=frozenset(row["module"] for row in installed if row["state"] == ModuleState.SUSPENDED),
                settings={row["module"]: msgspec.json.decode(row["settings"]) for row in installed},
            ),
            changes,
        )
