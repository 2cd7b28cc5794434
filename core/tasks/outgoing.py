"""What a transaction tells the world: its events and its jobs, written by one statement just before the commit.

They wait in the session (`TenantSession.write_at_commit`), so that a request which emits three events for twenty
subscribers makes one round trip for them and not one a table or a row.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import Table, Uuid, bindparam, column, func, insert, select
from sqlalchemy.dialects.postgresql import JSONB

from core import clock
from core.db.sessions import TenantSession
from core.db.statements import TENANT, Statement
from core.ids import new_id
from core.tasks.models import DomainEvent, OutboxJob

type RawJson = msgspec.Raw | dict[str, msgspec.Raw]


class OutgoingEvent(Struct, frozen=True, kw_only=True):
    type: str
    schema_version: int
    payload: msgspec.Raw
    user_id: UUID | None
    correlation_id: str
    occurred_at: datetime
    id: UUID = msgspec.field(default_factory=new_id)


class OutgoingJob(Struct, frozen=True, kw_only=True):
    actor: str
    queue: str
    arguments: RawJson
    user_id: UUID | None
    correlation_id: str
    origin: dict[str, str]
    not_before: datetime
    created_at: datetime = msgspec.field(default_factory=clock.now)
    id: UUID = msgspec.field(default_factory=new_id)


def _insert(model: type[Any], kind: type[Struct]) -> Any:
    """INSERT of the rows that stand in a JSON array, in their order. What a row has is what `kind` has."""
    table = cast("Table", model.__table__)
    names = kind.__struct_fields__
    given = (
        func.jsonb_to_recordset(bindparam(table.name, type_=JSONB))
        .table_valued(*(column(name, table.c[name].type) for name in names))
        .render_derived(with_types=True)
    )
    rows = select(bindparam(TENANT, type_=Uuid()), *given.c)
    return insert(table).from_select(["organization_id", *names], rows, include_defaults=False)


_KINDS: list[tuple[type[Any], type[Struct]]] = [(DomainEvent, OutgoingEvent), (OutboxJob, OutgoingJob)]
_EVENTS, _JOBS = (_insert(model, kind) for model, kind in _KINDS)
_WRITE = Statement(_JOBS.add_cte(_EVENTS.cte("told")))


async def write_outgoing(session: TenantSession, waiting: Sequence[OutgoingEvent | OutgoingJob]) -> None:
    """In one round trip, whatever there is of each."""
    rows = {
        model.__tablename__: msgspec.json.encode([row for row in waiting if isinstance(row, kind)]).decode()
        for model, kind in _KINDS
    }
    await session.run(_WRITE, **rows)
