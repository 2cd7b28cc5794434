"""What every process of a deployment is made of: the settings and the modules that were found."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from core.admin import purging
from core.audit import models as audit_models
from core.audit import permissions as audit_permissions
from core.audit import sealing
from core.db import announcements
from core.db.announcements import Heard, Watcher
from core.db.database import Database, connect, open_database
from core.db.migrations import ENVIRONMENT, MigrationSet
from core.db.pages import CursorSigner
from core.db.replica import Notes
from core.db.tenancy import SYSTEM_ROLE, TenantConnection
from core.http import idempotency_models
from core.http.idempotency import FORGOTTEN_KEYS
from core.http.outgoing import Outgoing
from core.identity import credential_models, letters, operator_models, organization_models
from core.identity import models as identity_models
from core.identity import permissions as identity_permissions
from core.identity.links import Links
from core.identity.oidc import models as oidc_models
from core.mail.actors import send_mail
from core.mail.delivery import Mailer, make_mailer
from core.permissions import Permission
from core.plugs.discovery import Plugs, discover
from core.plugs.event_schemas import EventSchemas
from core.plugs.switchboard import ModuleSwitched, Switchboard
from core.secrets import models as secret_models
from core.settings import Settings
from core.tasks import models as task_models
from core.tasks.broker import redis_client
from core.tasks.chores import Chore
from core.tasks.redis_keys import RedisKeys
from core.tasks.registry import TaskRegistry
from core.tasks.schedule import TASK_SWEEPS
from core.toggles import models as toggle_models
from core.toggles.states import ModuleStates

CORE_TABLES = (
    announcements,
    audit_models,
    identity_models,
    organization_models,
    credential_models,
    oidc_models,
    operator_models,
    secret_models,
    task_models,
    toggle_models,
    idempotency_models,
)
"""Importing them puts the core's tables into the metadata that migrations are compared with."""
CORE_EVENTS = (ModuleSwitched,)
CORE_SWEEPS = (*TASK_SWEEPS, FORGOTTEN_KEYS)
CORE_ACTORS = (send_mail, *letters.ACTORS)
CORE_MIGRATIONS = MigrationSet(name="core", directory=ENVIRONMENT / "versions")


class Runtime(Struct, frozen=True, kw_only=True, dict=True):
    settings: Settings
    plugs: Plugs

    @cached_property
    def registry(self) -> TaskRegistry:
        modules = self.plugs.catalogue(self.settings.default_modules)
        return TaskRegistry([*CORE_ACTORS, *self.plugs.actors], self.plugs.schedules, modules=modules)

    @cached_property
    def permissions(self) -> list[Permission]:
        return [*identity_permissions.PERMISSIONS, *audit_permissions.PERMISSIONS, *self.plugs.permissions]

    @cached_property
    def links(self) -> Links:
        return Links(secret=self.settings.secret_key, public_url=self.settings.public_url)

    @cached_property
    def outgoing(self) -> Outgoing:
        return Outgoing(seconds=self.settings.outgoing_seconds, loopback=self.settings.outgoing_loopback)

    @cached_property
    def providers(self) -> dict[type, object]:
        """What jobs get from `ctx.use`."""
        return {Mailer: make_mailer(self.settings), Links: self.links, Outgoing: self.outgoing}

    @cached_property
    def cursors(self) -> CursorSigner:
        return CursorSigner(self.settings.secret_key)

    @property
    def migration_sets(self) -> list[MigrationSet]:
        """Core first, then the modules in dependency order."""
        return [CORE_MIGRATIONS, *self.plugs.migration_sets]

    @property
    def event_schemas(self) -> list[EventSchemas]:
        """What the core and each module promise of their events."""
        return [
            EventSchemas(module="core", events=CORE_EVENTS, directory=Path(__file__).parent),
            *(
                EventSchemas(module=plug.name, events=tuple(plug.module.emits), directory=plug.directory)
                for plug in self.plugs
            ),
        ]

    def chores(self, database: Database) -> list[Chore]:
        """What a worker does for the deployment as a whole."""
        sealer = sealing.Sealer(database, self.settings.wrapping_keys)
        purger = purging.Purger(database)
        return [
            Chore(name="seal-audit", every=sealing.EVERY, work=sealer.seal),
            Chore(name="purge-organizations", every=purging.EVERY, work=purger.purge_due),
        ]

    @asynccontextmanager
    async def open_database(self, name: str, *, at_least: int = 1) -> AsyncGenerator[Database]:
        """The pools of one process; `at_least` so many connections a lane, for work that holds one each."""
        settings = self.settings
        async with AsyncExitStack() as stack:
            notes = None
            if settings.database_replica_url and settings.redis_url:
                client = redis_client(settings.redis_url, seconds=settings.redis_seconds)
                stack.push_async_callback(client.aclose)
                notes = Notes(client, RedisKeys(settings.redis_namespace).of_platform("written"))
            opened = open_database(
                app_url=settings.database_url,
                system_url=settings.system_url,
                pool=max(settings.database_pool, at_least),
                name=f"plugs:{name}",
                replica_url=settings.database_replica_url,
                notes=notes,
            )
            yield await stack.enter_async_context(opened)

    def switchboard(self, database: Database) -> Switchboard:
        return Switchboard(
            database=database,
            plugs=self.plugs,
            registry=self.registry,
            cursors=self.cursors,
            retention=timedelta(days=self.settings.module_retention_days),
        )

    def module_states(self, database: Database) -> ModuleStates:
        """What a process knows of its organizations' modules. `watch` keeps it true."""
        return ModuleStates(database, self.registry.modules, settle=self.switchboard(database).settle)

    @asynccontextmanager
    async def watch(self, name: str, listeners: Mapping[str, Heard]) -> AsyncGenerator[Watcher]:
        """Hear what any process announces, as long as this is open. `listeners` are by topic."""

        async def listen() -> TenantConnection:
            return await connect(self.settings.system_url, role=SYSTEM_ROLE, name=f"plugs:{name}:watch")

        watcher = Watcher(listen)
        for topic, heard in listeners.items():
            watcher.on(topic, heard)
        task = asyncio.create_task(watcher.run())
        try:
            yield watcher
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def make_runtime(settings: Settings, plugs: Plugs | None = None) -> Runtime:
    """Raises `BadModule` where the settings say that a module which can't be used stops everything."""
    found = plugs or discover(import_seconds=settings.import_seconds, abort=settings.on_bad_module == "abort")
    return Runtime(settings=settings, plugs=found)
