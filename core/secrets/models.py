"""Data keys: one current key per organization, wrapped by a key that is not in the database."""

from datetime import datetime

from advanced_alchemy.types import DateTimeUTC
from sqlalchemy import Integer, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from core.db.audit import HIDDEN
from core.db.models import TenantModel, tenant_index, tenant_unique


class DataKey(TenantModel, schema="core"):
    """`number` counts an organization's keys. A retired one opens what it sealed and seals nothing more."""

    __tablename__ = "data_keys"
    __table_args__ = (
        tenant_unique("number"),
        tenant_index("ix_data_keys_current", unique=True, postgresql_where=text("retired_at IS NULL")),
    )

    number: Mapped[int] = mapped_column(Integer)
    wrapping_key: Mapped[str]
    """Name of the key that wraps this one; see `PLUGS_ENCRYPTION_KEYS`."""
    wrapped: Mapped[bytes] = mapped_column(LargeBinary, info=HIDDEN)
    retired_at: Mapped[datetime | None] = mapped_column(DateTimeUTC)
