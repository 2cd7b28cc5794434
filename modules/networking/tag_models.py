"""Tags: the organization's words for its contacts, and which contact has which."""

from uuid import UUID

from core.sdk import Mapped, SubjectId, TenantModel, tenant_index, tenant_reference, tenant_unique
from modules.networking.models import SCHEMA


class Tag(TenantModel, schema=SCHEMA):
    __tablename__ = "tags"
    __table_args__ = (tenant_unique("key"),)

    name: Mapped[str]
    key: Mapped[str]
    """The name as it is compared: `VIP` and `vip` are one tag."""
    colour: Mapped[str | None]
    created_by: Mapped[UUID | None]
    import_id: Mapped[UUID | None]
    """The import that made it."""


class ContactTag(TenantModel, schema=SCHEMA):
    """A contact has a tag. There is no other place that says so."""

    __tablename__ = "contact_tags"
    __table_args__ = (
        tenant_reference("contact_id", f"{SCHEMA}.contacts"),
        tenant_reference("tag_id", f"{SCHEMA}.tags"),
        tenant_unique("contact_id", "tag_id"),
        tenant_index("ix_contact_tags_tag", "tag_id", "contact_id"),
    )

    contact_id: Mapped[SubjectId]
    tag_id: Mapped[UUID]
    created_by: Mapped[UUID | None]
    import_id: Mapped[UUID | None]
    """The import that put it there."""
