"""The stages that contacts have been through."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text

from core.sdk import Mapped, OptionalPii, SubjectId, TenantModel, tenant_index, tenant_reference
from modules.networking.models import SCHEMA
from modules.networking.values import ContactType, StageSource, one_of


class ContactStage(TenantModel, schema=SCHEMA, unaudited="a history itself; the change is told of the contact"):
    """One stay at a stage. Triggers on contacts write it, so that whatever changes a contact can't pass it by.

    What a transaction says of its moves is in its setting `app.stage`: see `services.stages`.
    """

    __tablename__ = "contact_stages"
    __table_args__ = (
        CheckConstraint(one_of("stage", ContactType), name="stage"),
        CheckConstraint(one_of("from_stage", ContactType), name="from_stage"),
        CheckConstraint(one_of("to_stage", ContactType), name="to_stage"),
        CheckConstraint(one_of("source", StageSource), name="source"),
        CheckConstraint("left_at >= entered_at", name="left_at"),
        tenant_reference("contact_id", f"{SCHEMA}.contacts"),
        Index(
            "uq_contact_stages_open",
            "organization_id",
            "contact_id",
            unique=True,
            postgresql_where=text("left_at IS NULL"),
        ),
        tenant_index("ix_contact_stages_contact", "contact_id", "entered_at", "id"),
        tenant_index("ix_contact_stages_entered", "entered_at"),
    )

    contact_id: Mapped[SubjectId]
    stage: Mapped[str]
    from_stage: Mapped[str | None]
    """Null where the contact came new."""
    to_stage: Mapped[str | None]
    """Null as long as it is there, and where a merge ended it."""
    entered_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
    reason: Mapped[OptionalPii]
    moved_by: Mapped[UUID | None]
    source: Mapped[str]
