"""A module's state for an organization, as a row. No row means that nobody has decided yet."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import CheckConstraint, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models import TenantModel, tenant_unique


class ModuleState(StrEnum):
    """available → enabled ⇄ suspended → disabled → purged, and from the last two back to enabled."""

    AVAILABLE = "available"
    """It could be enabled."""
    ENABLED = "enabled"
    SUSPENDED = "suspended"
    """Off for a while: nothing of it runs, and whatever falls to it meanwhile waits."""
    DISABLED = "disabled"
    """Off: its data are kept until `retained_until`, and what happens meanwhile is not told to it."""
    PURGED = "purged"
    """Its data were exported and removed; the row is the tombstone."""


class OrganizationModule(TenantModel, schema="core", app=("SELECT", "INSERT", "UPDATE")):
    __tablename__ = "organization_modules"
    __table_args__ = (
        tenant_unique("module"),
        CheckConstraint(f"state IN ({', '.join(f"'{state}'" for state in ModuleState)})", name="state"),
    )

    module: Mapped[str]
    state: Mapped[str] = mapped_column(Text, default=ModuleState.AVAILABLE.value)
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    reason: Mapped[str | None]
    """Why it is in this state, in somebody's words."""
    changed_by: Mapped[UUID | None]
    changed_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    retained_until: Mapped[datetime | None] = mapped_column(DateTimeUTC)
    """Until when the data of a disabled module are kept at the least."""
    tombstone: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """Of a purged one: when, how many rows of each table, and the digests of the exported files."""
