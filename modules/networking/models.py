"""Tables of networking: contacts, what happened with them, and the files they were imported from."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from core.sdk import (
    PII,
    QUIET,
    Mapped,
    OptionalPii,
    OptionalSubjectId,
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
    Consent,
    ContactStatus,
    ContactType,
    DuplicatePolicy,
    DuplicateTier,
    ImportFormat,
    ImportMode,
    ImportSource,
    ImportState,
    InteractionStatus,
    InteractionType,
    MatchKey,
    Priority,
    RevertOutcome,
    RowOutcome,
    Visibility,
    one_of,
)

SCHEMA = "networking"
SEARCHED = ("first_name", "last_name", "company", "job_title", "email")
SEARCH_TEXT = "lower(" + " || ' ' || ".join(f"coalesce({column}, '')" for column in SEARCHED) + ")"

SEARCH_WORDS = (
    "to_tsvector('simple'::regconfig, "
    "(((search_text || ' '::text) || COALESCE(bio, ''::text)) || ' '::text) || COALESCE(notes, ''::text))"
)
"""As PostgreSQL says it, since autogenerate compares the text."""

MATCHED = ("industry", "business_type", "job_title", "network_type")
"""Fields by which two contacts may suit each other: each has its folded text in a column of its own, `industry_key`."""


def _folded(column: str) -> Mapped[str | None]:
    expression = rf"lower(btrim(regexp_replace({column}, '\s+'::text, ' '::text, 'g'::text)))"
    return mapped_column(Text, Computed(expression, persisted=True), deferred=True)


class Contact(TenantModel, SoftDelete, schema=SCHEMA):
    """A person that the organization wants to reach, knows, or has won: target, contact, plug."""

    __tablename__ = "contacts"
    __table_args__ = (
        CheckConstraint(one_of("contact_type", ContactType), name="contact_type"),
        CheckConstraint(one_of("status", ContactStatus), name="status"),
        CheckConstraint(one_of("priority", Priority), name="priority"),
        tenant_index("ix_contacts_created", "created_at", "id", postgresql_where=text("NOT is_deleted")),
        tenant_index("ix_contacts_name", "last_name", "first_name", postgresql_where=text("NOT is_deleted")),
        CheckConstraint(one_of("marketing_consent", Consent), name="marketing_consent"),
        CheckConstraint(one_of("visibility", Visibility), name="visibility"),
        tenant_index("ix_contacts_owner", "owner_id", "created_at", "id", postgresql_where=text("NOT is_deleted")),
        tenant_reference("merged_into", f"{SCHEMA}.contacts"),
        tenant_index("ix_contacts_address", "email", postgresql_where=text("email IS NOT NULL")),
        tenant_index("ix_contacts_phone", "phone_e164", postgresql_where=text("phone_e164 IS NOT NULL")),
        tenant_index("ix_contacts_linkedin", "linkedin_key", postgresql_where=text("linkedin_key IS NOT NULL")),
        tenant_index("ix_contacts_merged", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
        Index(
            "ix_contacts_additional_emails",
            "organization_id",
            "additional_emails",
            postgresql_using="gin",
            postgresql_where=text("additional_emails <> '{}'"),
        ),
        Index(
            "ix_contacts_search",
            "organization_id",
            "search_text",
            postgresql_using="gin",
            postgresql_ops={"search_text": "core.gin_trgm_ops"},
        ),
        *(
            tenant_index(
                f"ix_contacts_{name}_key",
                f"{name}_key",
                postgresql_where=text(f"({name}_key IS NOT NULL) AND (NOT is_deleted)"),
            )
            for name in MATCHED
        ),
        Index("ix_contacts_words", "organization_id", text(SEARCH_WORDS), postgresql_using="gin"),
    )

    created_by: Mapped[UUID | None]
    updated_by: Mapped[UUID | None]
    owner_id: Mapped[UUID | None]
    """The member whose contact it is."""
    visibility: Mapped[str] = mapped_column(
        Text, default=Visibility.ORGANIZATION.value, server_default=Visibility.ORGANIZATION.value
    )
    first_name: Mapped[Pii]
    last_name: Mapped[OptionalPii]
    email: Mapped[OptionalPii]
    additional_emails: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}", info=PII)
    """In lower case, like `email`: they find the person as well."""
    phone: Mapped[OptionalPii]
    phone_e164: Mapped[OptionalPii]
    """`phone` as RFC 3966 has it, so that it is the same number however it is written. See `keys.py`."""
    company: Mapped[str | None]
    job_title: Mapped[OptionalPii]
    linkedin_url: Mapped[OptionalPii]
    linkedin_key: Mapped[OptionalPii]
    """The profile that `linkedin_url` shows, whatever the address."""
    bio: Mapped[OptionalPii]
    avatar_url: Mapped[OptionalPii]
    contact_type: Mapped[str] = mapped_column(Text, default=ContactType.TARGET.value)
    status: Mapped[str] = mapped_column(Text, default=ContactStatus.NEW_CLIENT.value)
    priority: Mapped[str] = mapped_column(Text, default=Priority.MEDIUM.value)
    business_type: Mapped[str | None]
    network_type: Mapped[str | None]
    industry: Mapped[str | None]
    notes: Mapped[OptionalPii]
    metadata_: Mapped[dict[str, Any]] = mapped_column(
        "metadata", JSONB, default=dict, server_default=text("'{}'"), info=PII
    )
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"), info=PII)
    """Values of the organization's own fields, by their keys. See `field_values.py`."""
    marketing_consent: Mapped[str] = mapped_column(Text, default=Consent.UNKNOWN.value, server_default="unknown")
    lead_score: Mapped[int] = mapped_column(Integer, default=0, server_default="0", info=QUIET)
    last_interaction: Mapped[datetime | None]
    merged_into: Mapped[UUID | None]
    """The contact that this one was merged into; its id stands for that one from then on."""
    search_text: Mapped[str] = mapped_column(Text, Computed(SEARCH_TEXT, persisted=True), deferred=True)
    industry_key: Mapped[str | None] = _folded("industry")
    business_type_key: Mapped[str | None] = _folded("business_type")
    job_title_key: Mapped[str | None] = _folded("job_title")
    network_type_key: Mapped[str | None] = _folded("network_type")


class DuplicatePair(TenantModel, schema=SCHEMA, unaudited="found anew by each scan; a row says who dismissed it"):
    """Two contacts that may be one person, or of whom somebody said that they are not."""

    __tablename__ = "duplicate_pairs"
    __table_args__ = (
        CheckConstraint(one_of("tier", DuplicateTier), name="tier"),
        tenant_reference("first_id", f"{SCHEMA}.contacts"),
        tenant_reference("second_id", f"{SCHEMA}.contacts"),
        tenant_unique("first_id", "second_id"),
        tenant_index("ix_duplicate_pairs_second", "second_id"),
        tenant_index("ix_duplicate_pairs_score", "score", "id", postgresql_where=text("NOT is_dismissed")),
    )

    first_id: Mapped[UUID]
    """The lesser of the two ids, so that a pair is one row."""
    second_id: Mapped[UUID]
    tier: Mapped[str]
    score: Mapped[int]
    reasons: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    is_dismissed: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    dismissed_at: Mapped[datetime | None]
    dismissed_by: Mapped[UUID | None]


class ContactMerge(TenantModel, schema=SCHEMA):
    """A merge that stands. One that is undone leaves no row: the events tell of it."""

    __tablename__ = "contact_merges"
    __table_args__ = (
        tenant_reference("survivor_id", f"{SCHEMA}.contacts"),
        tenant_reference("merged_id", f"{SCHEMA}.contacts"),
        tenant_unique("merged_id"),
        tenant_index("ix_contact_merges_survivor", "survivor_id", "created_at"),
        tenant_index("ix_contact_merges_created", "created_at", "id"),
    )

    survivor_id: Mapped[SubjectId]
    merged_id: Mapped[SubjectId]
    created_by: Mapped[UUID | None]
    before: Mapped[dict[str, Any]] = mapped_column(JSONB, info=PII)
    """What the survivor's columns were that the merge changed, and its stamps."""
    after: Mapped[dict[str, Any]] = mapped_column(JSONB, info=PII)
    """What the merge made of them."""
    stamps: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """Who had changed the merged contact last, and when."""
    interaction_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    """Interactions that moved to the survivor."""
    stages: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    """What became of the two histories of stages: see `services.stages.Carried`."""
    tag_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    """Tags that the survivor got by it."""
    undo_until: Mapped[datetime]


class ContactInteraction(TenantModel, SoftDelete, schema=SCHEMA):
    """A meeting, a call, a message: something that happened with a contact, or will."""

    __tablename__ = "contact_interactions"
    __table_args__ = (
        tenant_reference("contact_id", f"{SCHEMA}.contacts"),
        CheckConstraint(one_of("interaction_type", InteractionType), name="interaction_type"),
        CheckConstraint(one_of("status", InteractionStatus), name="status"),
        tenant_index("ix_contact_interactions_contact", "contact_id", "interaction_date", "id"),
        tenant_index(
            "ix_contact_interactions_remind",
            "remind_at",
            postgresql_where=text("remind_at IS NOT NULL AND reminded_at IS NULL"),
        ),
    )

    contact_id: Mapped[SubjectId]
    user_id: Mapped[UUID | None]
    interaction_type: Mapped[str]
    subject: Mapped[OptionalPii]
    description: Mapped[OptionalPii]
    outcome: Mapped[OptionalPii]
    interaction_date: Mapped[datetime]
    status: Mapped[str] = mapped_column(Text, default=InteractionStatus.COMPLETED.value)
    remind_at: Mapped[datetime | None]
    """When somebody is to be reminded of it, while it is scheduled."""
    reminded_at: Mapped[datetime | None] = mapped_column(info=QUIET)
    metadata_: Mapped[dict[str, Any]] = mapped_column(
        "metadata", JSONB, default=dict, server_default=text("'{}'"), info=PII
    )


class ContactImport(TenantModel, schema=SCHEMA):
    """An uploaded file on its way into contacts. `bytes_done` is where a crashed run goes on."""

    __tablename__ = "contact_imports"
    __table_args__ = (
        CheckConstraint(one_of("state", ImportState), name="state"),
        CheckConstraint(one_of("format", ImportFormat), name="format"),
        CheckConstraint(one_of("source", ImportSource), name="source"),
        CheckConstraint(one_of("mode", ImportMode), name="mode"),
        CheckConstraint(one_of("match_key", MatchKey), name="match_key"),
        CheckConstraint(one_of("duplicates", DuplicatePolicy), name="duplicates"),
        tenant_index("ix_contact_imports_created", "created_at", "id"),
    )

    created_by: Mapped[UUID | None]
    file_name: Mapped[str]
    file_bytes: Mapped[int]
    state: Mapped[str] = mapped_column(Text, default=ImportState.QUEUED.value)
    format: Mapped[str] = mapped_column(Text, default=ImportFormat.CSV.value, server_default="csv")
    source: Mapped[str] = mapped_column(Text, default=ImportSource.OTHER.value, server_default="other")
    encoding: Mapped[str] = mapped_column(Text, default="utf-8", server_default="utf-8")
    delimiter: Mapped[str] = mapped_column(Text, default=",", server_default=",")
    columns: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    """The file's columns in their order."""
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    """The `ImportField` that each of them fills; empty for a column that is left out."""
    mode: Mapped[str] = mapped_column(Text, default=ImportMode.CREATE.value, server_default="create")
    match_key: Mapped[str] = mapped_column(Text, default=MatchKey.EMAIL.value, server_default="email")
    duplicates: Mapped[str] = mapped_column(Text, default=DuplicatePolicy.SKIP.value, server_default="skip")
    dry_run: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    first_byte: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Where the rows begin, behind a byte order mark, a preamble and the header."""
    first_line: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    bytes_done: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    next_line: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    rows_total: Mapped[int | None]
    rows_done: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    rows_created: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    rows_updated: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    rows_skipped: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    rows_failed: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    contacts_reverted: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    contacts_kept: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    reason: Mapped[str | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ContactImportRow(TenantModel, schema=SCHEMA, unaudited="a report; what it did is told of contacts"):
    """What became of one row of the file, and what a revert needs to undo it."""

    __tablename__ = "contact_import_rows"
    __table_args__ = (
        CheckConstraint(one_of("outcome", RowOutcome), name="outcome"),
        CheckConstraint(one_of("revert", RevertOutcome), name="revert"),
        tenant_reference("import_id", f"{SCHEMA}.contact_imports"),
        tenant_unique("import_id", "line"),
        tenant_index(
            "ix_contact_import_rows_contact",
            "import_id",
            "contact_id",
            postgresql_where=text("contact_version IS NOT NULL AND revert IS NULL"),
        ),
    )

    import_id: Mapped[UUID]
    line: Mapped[int]
    outcome: Mapped[str]
    code: Mapped[str | None]
    """Why it was skipped or failed."""
    contact_id: Mapped[OptionalSubjectId]
    """The contact that it made or changed, or that stood in its way."""
    contact_version: Mapped[int | None]
    """The contact's version once the row was taken: another one later on means that somebody changed it since."""
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB, info=PII)
    """The contact's values before the import's batch changed them."""
    cells: Mapped[list[str] | None] = mapped_column(ARRAY(Text), info=PII)
    """The row as it stood in the file, where it was not taken."""
    revert: Mapped[str | None]


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


class ErasedKey(TenantModel, schema=SCHEMA, unaudited="the audit trail must not tell who was erased"):
    """An address, a number or a profile of somebody who was erased, as a fingerprint: imports leave them out."""

    __tablename__ = "erased_keys"
    __table_args__ = (tenant_unique("fingerprint"),)

    fingerprint: Mapped[bytes]
