"""Saved views: questions to the list of contacts that somebody asks again and again."""

from typing import Any

from sqlalchemy import ARRAY, Boolean, Text
from sqlalchemy.dialects.postgresql import JSONB

from core.sdk import Mapped, OptionalSubjectId, TenantModel, mapped_column, tenant_index
from modules.networking.models import SCHEMA


class SavedView(TenantModel, schema=SCHEMA):
    __tablename__ = "saved_views"
    __table_args__ = (tenant_index("ix_saved_views_owner", "owner_id"),)

    name: Mapped[str]
    owner_id: Mapped[OptionalSubjectId]
    """Null for one that a program saved, or whose owner was erased: it is shared then."""
    is_shared: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    filters: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    sort: Mapped[str | None]
    columns: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
