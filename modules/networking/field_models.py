"""Custom fields: what an organization wants to know of its contacts beyond the columns that everybody has."""

from uuid import UUID

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Text

from core.sdk import Mapped, TenantModel, mapped_column, tenant_unique
from modules.networking.models import SCHEMA
from modules.networking.values import FieldKind, one_of


class CustomField(TenantModel, schema=SCHEMA):
    """A definition. The values stand in the contacts' `custom`, by its key."""

    __tablename__ = "custom_fields"
    __table_args__ = (
        CheckConstraint(one_of("kind", FieldKind), name="kind"),
        tenant_unique("key"),
        tenant_unique("label_key"),
    )

    key: Mapped[str]
    """Stays as it is: values and files know the field by it."""
    label: Mapped[str]
    label_key: Mapped[str]
    """The label as it is compared with a file's header."""
    kind: Mapped[str]
    options: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    archived_options: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    """Contacts that have one keep it, and no other gets it."""
    required: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    archived: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    created_by: Mapped[UUID | None]
