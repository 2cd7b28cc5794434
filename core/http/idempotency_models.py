"""The answers kept for idempotency keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from core import clock
from core.db.models import Base

UNAUDITED = "machinery: what the request did is in the trail"


class IdempotencyKey(Base):
    """One key that a subject used on one route, with the answer it got. Written once, never changed; swept after a day.

    Nothing in it can be read without the key: `id` is a hash of it, `answer` is sealed by it.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("ix_idempotency_keys_created_at", "created_at"),
        {"schema": "core", "info": {"tenant": True, "app": ("SELECT", "INSERT"), "unaudited": UNAUDITED}},
    )

    organization_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    """A keyed hash of what was sent."""
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    """None where it was too long to keep."""
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
