"""Events, jobs and schedules as rows. They are written in the transaction of the change they belong to."""

from datetime import datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import BigInteger, Identity, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db.models import Base
from core.db.types import Xid8
from core.ids import new_id

NO_ORGANIZATION = UUID(int=0)
"""Whose jobs are nobody's: what concerns an account and not what it does in one organization or another."""
MAX_ATTEMPTS = 12
"""A job that was begun so often and never finished is parked. One that nobody began has not failed: it only waits."""

WAITING = "done_at IS NULL AND parked_at IS NULL AND held_at IS NULL"


class DomainEvent(Base):
    """Something that happened, in the one ordered stream that subscribers, webhooks and feeds follow."""

    __tablename__ = "domain_events"
    __table_args__ = (
        Index("ix_domain_events_stream", "organization_id", "xid", "sequence"),
        {"schema": "core", "info": {"tenant": True, "unaudited": "a record of changes itself, never changed"}},
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    type: Mapped[str]
    schema_version: Mapped[int] = mapped_column(Integer, default=1)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    user_id: Mapped[UUID | None]
    correlation_id: Mapped[str] = mapped_column(Text, default="")
    occurred_at: Mapped[datetime] = mapped_column(default=clock.now)


class OutboxJob(Base):
    """A job: due from `not_before` on, until its own transaction sets `done_at` or the relay parks it."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_due", "not_before", postgresql_where=text(WAITING)),
        Index("ix_outbox_done", "done_at", postgresql_where=text("done_at IS NOT NULL")),
        {"schema": "core", "info": {"tenant": True, "unaudited": "machinery: what a job does is in the trail"}},
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    actor: Mapped[str]
    queue: Mapped[str] = mapped_column(Text, default="default")
    arguments: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    user_id: Mapped[UUID | None]
    correlation_id: Mapped[str] = mapped_column(Text, default="")
    origin: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    """Beside the person: the API key, the operator and the address that caused it, for the audit trail."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    not_before: Mapped[datetime] = mapped_column(default=clock.now)
    sends: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How often the relay handed it to a queue."""
    attempts: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How often a worker began it."""
    lease: Mapped[UUID | None]
    """Names the worker's run that holds the job; only that run may finish it."""
    leased_until: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    done_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    parked_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    held_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    """Since when it waits for its module to be on again."""
    last_error: Mapped[str | None]


class ScheduleState(Base):
    """When a schedule fires next. One row a schedule: whichever process locks it fires it."""

    __tablename__ = "schedules"
    __table_args__ = ({"schema": "core"},)

    name: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime]
    last_fired_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
