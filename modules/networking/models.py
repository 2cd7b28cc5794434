"""Tables of networking: contacts, what happened with them, and the files they were imported from."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Computed, Index, Integer, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from core.sdk import (
    Mapped,
    OptionalPii,
    Pii,
    SoftDelete,
    SubjectId,
    TenantModel,
    mapped_column,
    tenant_index,
    tenant_reference,
    tenant_unique,
)
from modules.networking.values import (
    ContactStatus,
    ContactType,
    ImportState,
    InteractionStatus,
    InteractionType,
    Priority,
    one_of,
)

SCHEMA = "networking"
SEARCHED = ("first_name", "last_name", "company", "job_title", "email")
SEARCH_TEXT = "lower(" + " || ' ' || ".join(f"coalesce({column}, '')" for column in SEARCHED) + ")"


class Contact(TenantModel, SoftDelete, schema=SCHEMA):
    """A person that the organization wants to reach, knows, or has won: target, contact, plug."""

    __tablename__ = "contacts"
    __table_args__ = (
        CheckConstraint(one_of("contact_type", ContactType), name="contact_type"),
        CheckConstraint(one_of("status", ContactStatus), name="status"),
        CheckConstraint(one_of("priority", Priority), name="priority"),
        tenant_index("ix_contacts_created", "created_at", "id", postgresql_where=text("NOT is_deleted")),
        tenant_index("ix_contacts_name", "last_name", "first_name"),
        tenant_index("ix_contacts_email", text("lower(email)")),
        Index(
            "ix_contacts_search",
            "organization_id",
            "search_text",
            postgresql_using="gin",
            postgresql_ops={"search_text": "core.gin_trgm_ops"},
        ),
    )

    created_by: Mapped[UUID | None]
    updated_by: Mapped[UUID | None]
    first_name: Mapped[Pii]
    last_name: Mapped[OptionalPii]
    email: Mapped[OptionalPii]
    phone: Mapped[OptionalPii]
    company: Mapped[str | None]
    job_title: Mapped[OptionalPii]
    linkedin_url: Mapped[OptionalPii]
    bio: Mapped[OptionalPii]
    avatar_url: Mapped[OptionalPii]
    contact_type: Mapped[str] = mapped_column(Text, default=ContactType.TARGET.value)
    status: Mapped[str] = mapped_column(Text, default=ContactStatus.NEW_CLIENT.value)
    priority: Mapped[str] = mapped_column(Text, default=Priority.MEDIUM.value)
    business_type: Mapped[str | None]
    network_type: Mapped[str | None]
    industry: Mapped[str | None]
    notes: Mapped[OptionalPii]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict, server_default=text("'{}'"))
    lead_score: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    last_interaction: Mapped[datetime | None]
    search_text: Mapped[str] = mapped_column(Text, Computed(SEARCH_TEXT, persisted=True), deferred=True)


class ContactInteraction(TenantModel, SoftDelete, schema=SCHEMA):
    """A meeting, a call, a message: something that happened with a contact, or will."""

    __tablename__ = "contact_interactions"
    __table_args__ = (
        tenant_reference("contact_id", f"{SCHEMA}.contacts"),
        CheckConstraint(one_of("interaction_type", InteractionType), name="interaction_type"),
        CheckConstraint(one_of("status", InteractionStatus), name="status"),
        tenant_index("ix_contact_interactions_contact", "contact_id", "interaction_date", "id"),
    )

    contact_id: Mapped[SubjectId]
    user_id: Mapped[UUID | None]
    interaction_type: Mapped[str]
    subject: Mapped[str | None]
    description: Mapped[OptionalPii]
    outcome: Mapped[OptionalPii]
    interaction_date: Mapped[datetime]
    status: Mapped[str] = mapped_column(Text, default=InteractionStatus.COMPLETED.value)
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict, server_default=text("'{}'"))


class ContactImport(TenantModel, schema=SCHEMA):
    """An uploaded file on its way into contacts. `next_line` is where a crashed run goes on."""

    __tablename__ = "contact_imports"
    __table_args__ = (
        CheckConstraint(one_of("state", ImportState), name="state"),
        tenant_index("ix_contact_imports_created", "created_at", "id"),
    )

    created_by: Mapped[UUID | None]
    file_name: Mapped[str]
    file_bytes: Mapped[int]
    state: Mapped[str] = mapped_column(Text, default=ImportState.QUEUED.value)
    rows_total: Mapped[int | None]
    rows_done: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    rows_created: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    rows_failed: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    reason: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ContactImportChunk(TenantModel, schema=SCHEMA, unaudited="the uploaded file itself, gone after the import"):
    """A piece of the uploaded file, kept until the import is over: any worker may be the one that reads it."""

    __tablename__ = "contact_import_chunks"
    __table_args__ = (
        tenant_reference("import_id", f"{SCHEMA}.contact_imports"),
        tenant_unique("import_id", "ordinal"),
    )

    import_id: Mapped[UUID]
    ordinal: Mapped[int]
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class ContactImportError(TenantModel, schema=SCHEMA):
    """Why one value of one row was not taken."""

    __tablename__ = "contact_import_errors"
    __table_args__ = (
        tenant_reference("import_id", f"{SCHEMA}.contact_imports"),
        tenant_index("ix_contact_import_errors_line", "import_id", "line", "id"),
    )

    import_id: Mapped[UUID]
    line: Mapped[int]
    column: Mapped[str]
    code: Mapped[str]
    reason: Mapped[str]
