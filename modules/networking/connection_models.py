"""Connections between members. People are the core's: a row holds their ids, and names are looked up to be shown."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Text, text

from core.sdk import Mapped, OptionalPii, OptionalSubjectId, TenantModel, mapped_column, tenant_index, tenant_unique
from modules.networking.models import SCHEMA
from modules.networking.values import ConnectionState, one_of


class Connection(TenantModel, schema=SCHEMA):
    """How two members stand to each other: one row, whoever of them asked, for as long as either remembers.

    The lesser id comes first, so that the same two people can't have two rows.
    """

    __tablename__ = "connections"
    __table_args__ = (
        CheckConstraint(one_of("state", ConnectionState), name="state"),
        CheckConstraint("first_id < second_id", name="order"),
        tenant_unique("first_id", "second_id"),
        tenant_index("ix_connections_second", "second_id", "first_id"),
        tenant_index("ix_connections_asked", "requested_by", postgresql_where=text("state = 'pending'")),
    )

    first_id: Mapped[UUID]
    second_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(Text, default=ConnectionState.PENDING.value)
    requested_by: Mapped[OptionalSubjectId]
    """Whose the message is. That the other one is in the row too, the privacy hooks see to."""
    message: Mapped[OptionalPii]
    requested_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    """When it was accepted, declined, cancelled or ended."""
    first_blocked_at: Mapped[datetime | None]
    """Since when the first of the two blocks the second."""
    second_blocked_at: Mapped[datetime | None]

    def other_than(self, user_id: UUID) -> UUID:
        return self.second_id if user_id == self.first_id else self.first_id

    def is_blocked_by(self, user_id: UUID) -> bool:
        return (self.first_blocked_at if user_id == self.first_id else self.second_blocked_at) is not None

    @property
    def is_blocked(self) -> bool:
        return self.first_blocked_at is not None or self.second_blocked_at is not None
