"""Who operates the platform, and in whose place they looked. Neither is a tenant's: only the system role sees it."""

from datetime import datetime
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db.models import Base
from core.ids import new_id

SCHEMA = "core"


class Operator(Base):
    """A person who operates the platform: granted on the server alone."""

    __tablename__ = "operators"
    __table_args__ = ({"schema": SCHEMA, "info": {"audit": "person"}},)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("core.users.id", ondelete="CASCADE"), primary_key=True)
    impersonates_writing: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    """Of the grant, or its renewal. A second factor that is younger counts for nothing."""


class Impersonation(Base):
    """An operator in somebody's place: for a reason, for a while, and no longer than their own session.

    It is in the trail of the organization that they enter. It names people without foreign keys, as it outlives them.
    """

    __tablename__ = "impersonations"
    __table_args__ = (
        CheckConstraint("expires_at > created_at", name="expires_at"),
        Index("ix_impersonations_created_at", "created_at", "id"),
        {"schema": SCHEMA, "info": {"audit": "tenant"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[UUID]
    operator_id: Mapped[UUID]
    session_id: Mapped[UUID]
    """The operator's own."""
    user_id: Mapped[UUID]
    """In whose place."""
    reason: Mapped[str]
    writes: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
