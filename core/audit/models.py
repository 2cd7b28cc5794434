"""The trail and its seals.

Entries are written by the triggers of `core.db.audit` and by `Ctx.note_read`, through functions of the system role;
the application reads its own and no more, and no serving role changes or removes one. Who acted is filled in by the
columns' defaults, from the settings of the transaction.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Integer, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models import Base
from core.db.types import Xid8

SCHEMA = "core"
APPEND_ONLY = {
    "tenant": True,
    "app": ("SELECT",),
    "system": ("SELECT", "INSERT", "DELETE"),
    "unaudited": "the trail itself",
}
ORDERED_ID = (
    "encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) placing "
    "substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), "
    "52, 1), 53, 1), 'hex')::uuid"
)
"""A UUID of version 7: PostgreSQL has a function for it from 18 on."""


def _setting(name: str, kind: str) -> Any:
    return text(f"nullif(current_setting('app.{name}', true), '')::{kind}")


class AuditLog(Base):
    """One change of one row, or one look at what is sensitive. Of an update, only the values that differ are kept."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        CheckConstraint("action IN ('create', 'update', 'delete', 'restore', 'read')", name="action"),
        Index("ix_audit_logs_created", "organization_id", "created_at", "id"),
        Index("ix_audit_logs_record", "organization_id", "record_id", "created_at", "id"),
        Index("ix_audit_logs_user", "organization_id", "user_id", "created_at", "id"),
        {"schema": SCHEMA, "info": APPEND_ONLY},
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(Xid8, primary_key=True, server_default=text("pg_current_xact_id()"))
    sequence: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    """With `xid`, the order in which entries are sealed."""
    id: Mapped[UUID] = mapped_column(server_default=text(ORDERED_ID))
    created_at: Mapped[datetime] = mapped_column(server_default=text("statement_timestamp()"))
    user_id: Mapped[UUID | None] = mapped_column(server_default=_setting("user_id", "uuid"))
    impersonator_id: Mapped[UUID | None] = mapped_column(server_default=_setting("impersonator_id", "uuid"))
    api_key_id: Mapped[UUID | None] = mapped_column(server_default=_setting("api_key_id", "uuid"))
    address: Mapped[str | None] = mapped_column(Text, server_default=_setting("address", "text"))
    correlation_id: Mapped[str | None] = mapped_column(Text, server_default=_setting("correlation_id", "text"))
    job_id: Mapped[UUID | None] = mapped_column(server_default=_setting("job_id", "uuid"))
    job_name: Mapped[str | None] = mapped_column(Text, server_default=_setting("job_name", "text"))
    table_name: Mapped[str]
    """Qualified: `networking.contacts`."""
    record_id: Mapped[UUID | None]
    """None for a look at many rows."""
    action: Mapped[str]
    old_values: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    new_values: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=text("'{}'"))


class AuditSeal(Base):
    """A link of an organization's chain: it covers the entries since the link before, and that link."""

    __tablename__ = "audit_seals"
    __table_args__ = (Index("ix_audit_seals_below_xid", "below_xid"), {"schema": SCHEMA, "info": APPEND_ONLY})

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """1, 2, 3, … without a gap."""
    through_xid: Mapped[int] = mapped_column(Xid8, server_default=text("'0'::xid8"))
    through_sequence: Mapped[int] = mapped_column(BigInteger)
    """With `through_xid`, the last entry that it covers."""
    below_xid: Mapped[int] = mapped_column(Xid8, server_default=text("'0'::xid8"))
    """When it was made, every organization's entries of transactions below this one were sealed."""
    entries: Mapped[int] = mapped_column(Integer)
    key_name: Mapped[str]
    """Which of `PLUGS_ENCRYPTION_KEYS` it is made with."""
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=text("statement_timestamp()"))
