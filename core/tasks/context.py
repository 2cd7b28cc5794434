"""`Ctx`: the one thing that a route, a service or an actor needs. It is a tenant, a principal and the two lanes."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from sqlalchemy import Text, Uuid, bindparam, column, func, select, table
from sqlalchemy import cast as cast_as
from sqlalchemy.dialects.postgresql import JSONB
from structlog.typing import FilteringBoundLogger

from core import clock
from core.db.database import Database
from core.db.pages import DEFAULT_LIMIT, CursorSigner, ListQuery
from core.db.reads import Read, ReadLane
from core.db.sessions import TenantSession
from core.db.statements import TENANT, Row
from core.db.tenancy import Acting, TenantContext
from core.principal import Principal
from core.tasks.outgoing import OutgoingEvent, OutgoingJob, RawJson, write_outgoing
from core.tasks.registry import Actor, Event, TaskRegistry
from core.toggles.catalogue import TenantModules

ORGANIZATION_SETTINGS = Read(
    select(cast_as(column("settings"), Text).label("settings"))
    .select_from(table("organizations", schema="core"))
    .where(column("id") == bindparam(TENANT, type_=Uuid()))
)
ORIGIN = ("impersonator_id", "api_key_id", "address")


def origin_of(acting: Acting) -> dict[str, str]:
    """What a job remembers of its cause, beside the person and the correlation id."""
    found = {name: getattr(acting, name) for name in ORIGIN}
    return {name: str(value) for name, value in found.items() if value is not None}


class Ctx:
    """One request's or one job's view of the system.

    `db` is the write lane: one transaction, opened at first use, committed for you before the answer starts.
    `reads` is the read lane: it does not see what this request has written and not yet committed.
    """

    log: FilteringBoundLogger = structlog.get_logger()
    """Each line bears what the request or the job is known by."""

    def __init__(
        self,
        *,
        principal: Principal,
        database: Database,
        registry: TaskRegistry,
        cursors: CursorSigner,
        modules: TenantModules,
        correlation_id: str = "",
        address: str | None = None,
        providers: Mapping[type, object] | None = None,
        job_id: UUID | None = None,
        job_name: str | None = None,
        may_lag: bool = False,
    ) -> None:
        """`address` is where the request came from, or the one that caused the job. `may_lag` is for requests that
        change nothing: they may read on a replica."""
        self.principal = principal
        self.modules = modules
        self.correlation_id = correlation_id
        self._database = database
        self._registry = registry
        self._cursors = cursors
        self._providers = providers or {}
        self.acting = TenantContext(
            organization_id=principal.organization_id,
            user_id=principal.user_id,
            impersonator_id=principal.impersonator_id,
            api_key_id=principal.api_key_id,
            address=address,
            correlation_id=correlation_id,
            job_id=job_id,
            job_name=job_name,
        )
        self._db: TenantSession | None = None
        self._reads = database.reads(self.acting, may_lag=may_lag)
        self.job_id = job_id
        """The job that this is, in a background job."""
        self.has_jobs = False
        """Whether something was enqueued, so that the doorbell is rung after the commit."""

    @property
    def organization_id(self) -> UUID:
        return self.principal.organization_id

    @property
    def user_id(self) -> UUID | None:
        return self.principal.user_id

    @property
    def db(self) -> TenantSession:
        if self._db is None:
            self._db = self._database.session(self.acting, write_last=write_outgoing)
        return self._db

    @property
    def reads(self) -> ReadLane:
        return self._reads

    async def organization_settings(self) -> Mapping[str, Any]:
        """What the organization has set of its `OrganizationSettings`: time zone, country, … Only what was ever set."""
        found = await self.reads.first(ORGANIZATION_SETTINGS)
        return {} if found is None else msgspec.json.decode(found["settings"])

    async def page(
        self,
        query: ListQuery,
        /,
        *,
        sort: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        **filters: Any,
    ) -> bytes:
        """One page of a list, as the JSON of `Page`. A filter that is None is left out."""
        return await query.page(
            self.reads,
            self._cursors,
            self.organization_id.bytes,
            sort=sort,
            limit=limit,
            cursor=cursor,
            filters=filters,
        )

    async def row(self, query: ListQuery, row_id: UUID, /, **values: Any) -> Row | None:
        """One row of a list by its id, with the list's columns; None where the list has no such row.

        `values` are what the list takes beside its filters.
        """
        return await query.row(self.reads, row_id, values)

    def emit(self, event: Event) -> None:
        """Record that something happened. It reaches every subscriber if, and only if, this transaction commits."""
        payload = msgspec.Raw(msgspec.json.encode(event))
        self.db.write_at_commit(
            OutgoingEvent(
                type=event.type,
                schema_version=event.version,
                payload=payload,
                user_id=self.user_id,
                correlation_id=self.correlation_id,
                occurred_at=clock.now(),
            )
        )
        for subscriber in self._registry.subscribers_of(event):
            module = self._registry.modules.module_of(subscriber.name)
            if module is None or self.modules.follow_events(module):
                self._add_job(subscriber, {"payload": payload})

    def enqueue(self, actor: Actor, /, *, delay: timedelta = timedelta(), **arguments: Any) -> UUID:
        """Have `actor` run after this transaction commits, at the earliest after `delay`. Returns the job's id.

        Raises `msgspec.ValidationError` at once where the arguments don't fit the actor.
        """
        builtins = cast("dict[str, Any]", msgspec.to_builtins(arguments))
        msgspec.convert(builtins, actor.arguments)
        return self._add_job(actor, msgspec.Raw(msgspec.json.encode(builtins)), delay=delay)

    def _add_job(self, actor: Actor, arguments: RawJson, *, delay: timedelta = timedelta()) -> UUID:
        job = OutgoingJob(
            actor=actor.name,
            queue=actor.queue,
            arguments=arguments,
            user_id=self.user_id,
            correlation_id=self.correlation_id,
            origin=origin_of(self.acting),
            not_before=clock.now() + delay,
        )
        self.db.write_at_commit(job)
        self.has_jobs = True
        return job.id

    async def note_read(self, entity: str, record_id: UUID | None = None, **details: Any) -> None:
        """Leave a line in the audit trail: this request reads what is sensitive. It commits before the answer starts.

        `entity` is a qualified table (`networking.contacts`); `details` say what of it, and why.
        """
        noted = func.core.note_access(entity, record_id, cast_as(msgspec.to_builtins(details), JSONB))
        await self.db.execute(select(noted))

    def use[P](self, protocol: type[P]) -> P | None:
        """What a module provides under this Protocol; None where no module does, or it is off for the organization."""
        provided = self._registry.modules.provided.get(protocol)
        if provided is None:
            return cast("P | None", self._providers.get(protocol))
        return cast("P", provided.make(self)) if provided.module in self.modules.enabled else None

    def fingerprint(self, purpose: str, value: str) -> bytes:
        """32 bytes by which a value is known again that is not kept. The key is not in the database and differs from
        organization to organization, so nobody can try out addresses, nor see that two organizations knew the same."""
        return self._cursors.fingerprint(purpose, value, self.organization_id.bytes)

    def settings[S: Struct](self, kind: type[S]) -> S:
        """The organization's settings of the module that has settings of this type. Until they change, all requests and
        jobs of a process share them: a list or a mapping in them is for reading alone."""
        return self._registry.modules.read_settings(self.modules, kind)

    async def commit(self) -> None:
        """For the lanes' keepers (the HTTP middleware and the worker); services never call it."""
        if self._db is not None:
            await self._db.commit()

    async def tell_written(self) -> None:
        """For the same, after a commit: whoever reads for the organization from here on finds what it wrote."""
        await self._database.tell_written(self.organization_id)

    async def rollback(self) -> None:
        if self._db is not None:
            await self._db.rollback()

    async def close(self) -> None:
        if self._db is not None:
            if self._db.in_transaction():  # else it holds nothing any more
                await self._db.close()
            self._db = None

    async def checkpoint(self, *, durable: bool = True) -> None:
        """Commit what a job has done so far; a crash resumes from its own record of it. Only jobs have checkpoints.

        One that is not `durable` doesn't wait for the disk: should PostgreSQL itself crash, the last few may be taken
        back, none without those after it, and the job does that work again. So it is for work that leaves nothing
        outside the database. One with events or jobs waits all the same, as others act on them.
        """
        raise RuntimeError("only a background job has checkpoints: a request is one transaction")
