"""With whom contacts are shared."""

from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint

from core.sdk import Mapped, SubjectId, TenantModel, mapped_column, tenant_index, tenant_reference, tenant_unique
from modules.networking.models import SCHEMA
from modules.networking.values import Grantee, one_of


class ContactShare(TenantModel, schema=SCHEMA):
    """A member, or a team, that a contact is shared with. It counts while the contact's visibility is `shared`."""

    __tablename__ = "contact_shares"
    __table_args__ = (
        CheckConstraint(one_of("kind", Grantee), name="kind"),
        tenant_reference("contact_id", f"{SCHEMA}.contacts"),
        tenant_unique("contact_id", "grantee_id"),
        tenant_index("ix_contact_shares_grantee", "grantee_id"),
    )

    contact_id: Mapped[SubjectId]
    kind: Mapped[str]
    grantee_id: Mapped[UUID]
    """A user's id or a team's; no two of them are the same."""
    can_edit: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    created_by: Mapped[UUID | None]
