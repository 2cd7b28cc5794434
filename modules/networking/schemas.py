"""What goes in and out of networking's routes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from core.sdk import (
    NO_NUL,
    NO_NUL_TITLE,
    Email,
    LongText,
    Moment,
    OptionalText,
    Phone,
    PlainInteger,
    PlainNumber,
    ShortText,
    UploadFile,
    Url,
)
from modules.networking.field_schemas import ColumnField, CustomValues
from modules.networking.values import (
    Consent,
    ContactStatus,
    ContactType,
    DuplicatePolicy,
    DuplicateReason,
    DuplicateTier,
    ImportFormat,
    ImportMode,
    ImportSource,
    ImportState,
    InteractionStatus,
    InteractionType,
    MatchKey,
    MergeField,
    Priority,
    RowOutcome,
    Visibility,
)

MAX_EMAILS = 20
"""Addresses of one contact, the first one included."""

type MetadataKey = Annotated[str, Meta(title=NO_NUL_TITLE, min_length=1, max_length=100, pattern=NO_NUL)]
type Metadata = Annotated[
    dict[MetadataKey, None | bool | PlainInteger | PlainNumber | LongText],
    Meta(max_length=100, examples=[{"source": "trade fair", "seats": 3}]),
]
"""Values of the client's own: flat, so that they can be filtered, exported and shown."""


type StageReason = Annotated[
    str,
    Meta(
        title="a reason",
        min_length=1,
        max_length=500,
        pattern=r"^[^\u0000]*[^\u0000-\u0020][^\u0000]*$(?!\n)",
        examples=["Left the company"],
    ),
]
"""More than blanks."""
type Emails = Annotated[list[Email], Meta(max_length=MAX_EMAILS - 1)]


class ContactIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new contact. A first name is enough."""

    first_name: ShortText
    last_name: OptionalText | None = None
    email: Email | None = None
    additional_emails: Emails = []
    phone: Phone | None = None
    company: OptionalText | None = None
    job_title: OptionalText | None = None
    linkedin_url: Url | None = None
    bio: LongText | None = None
    avatar_url: Url | None = None
    contact_type: ContactType = ContactType.TARGET
    status: ContactStatus = ContactStatus.NEW_CLIENT
    priority: Priority = Priority.MEDIUM
    business_type: OptionalText | None = None
    network_type: OptionalText | None = None
    industry: OptionalText | None = None
    notes: LongText | None = None
    marketing_consent: Consent = Consent.UNKNOWN
    visibility: Visibility = Visibility.ORGANIZATION
    """Whoever creates it is its owner."""
    metadata: Metadata = {}
    custom: CustomValues = {}
    """By the keys of the organization's own fields."""


class ContactPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: only what is sent is changed, and null empties what may be empty."""

    first_name: ShortText | UnsetType = UNSET
    last_name: OptionalText | None | UnsetType = UNSET
    email: Email | None | UnsetType = UNSET
    additional_emails: Emails | UnsetType = UNSET
    phone: Phone | None | UnsetType = UNSET
    company: OptionalText | None | UnsetType = UNSET
    job_title: OptionalText | None | UnsetType = UNSET
    linkedin_url: Url | None | UnsetType = UNSET
    bio: LongText | None | UnsetType = UNSET
    avatar_url: Url | None | UnsetType = UNSET
    contact_type: ContactType | UnsetType = UNSET
    status: ContactStatus | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    business_type: OptionalText | None | UnsetType = UNSET
    network_type: OptionalText | None | UnsetType = UNSET
    industry: OptionalText | None | UnsetType = UNSET
    notes: LongText | None | UnsetType = UNSET
    marketing_consent: Consent | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET
    """For the owner, and for whoever may see every contact."""
    metadata: Metadata | UnsetType = UNSET
    custom: CustomValues | UnsetType = UNSET
    """What isn't named stays; null takes a value away."""
    stage_reason: StageReason | UnsetType = UNSET
    """Why `contact_type` goes back to an earlier stage."""


class ContactOut(Struct, frozen=True, kw_only=True):
    id: UUID
    organization_id: UUID
    version: int
    created_by: UUID | None
    updated_by: UUID | None
    owner_id: UUID | None
    visibility: Visibility
    first_name: str
    last_name: str | None
    email: str | None
    additional_emails: list[str]
    phone: str | None
    company: str | None
    job_title: str | None
    linkedin_url: str | None
    bio: str | None
    avatar_url: str | None
    contact_type: ContactType
    status: ContactStatus
    priority: Priority
    business_type: str | None
    network_type: str | None
    industry: str | None
    notes: str | None
    marketing_consent: Consent
    metadata: Metadata
    custom: CustomValues
    lead_score: int
    last_interaction: datetime | None
    created_at: datetime
    updated_at: datetime
    is_deleted: bool
    deleted_at: datetime | None
    tags: list[str]
    """Names, in their order."""
    relevance: int | UnsetType = UNSET
    """Of what a search found: how well it fits."""


class InteractionIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened with a contact, or is planned to."""

    interaction_type: InteractionType
    interaction_date: Moment
    subject: OptionalText | None = None
    description: LongText | None = None
    outcome: LongText | None = None
    status: InteractionStatus = InteractionStatus.COMPLETED
    remind_at: Moment | None = None
    """Of one that is scheduled; without it, the reminder comes at the organization's usual time."""
    metadata: Metadata = {}


class InteractionPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: only what is sent is changed. Another date moves the reminder along."""

    interaction_type: InteractionType | UnsetType = UNSET
    interaction_date: Moment | UnsetType = UNSET
    subject: OptionalText | None | UnsetType = UNSET
    description: LongText | None | UnsetType = UNSET
    outcome: LongText | None | UnsetType = UNSET
    remind_at: Moment | None | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class InteractionDone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a scheduled interaction went, and when it took place if not as planned."""

    interaction_date: Moment | None = None
    outcome: LongText | None = None


class InteractionOut(Struct, frozen=True, kw_only=True):
    id: UUID
    organization_id: UUID
    version: int
    contact_id: UUID
    user_id: UUID | None
    interaction_type: InteractionType
    subject: str | None
    description: str | None
    outcome: str | None
    interaction_date: datetime
    status: InteractionStatus
    remind_at: datetime | None
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    is_deleted: bool
    deleted_at: datetime | None


type Flag = Literal["true", "false"]
"""In a form everything is text."""


class ImportUpload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file to import, and how. CSV in UTF-8, UTF-16 or Windows-1252, or vCard 3.0 or 4.0; which is found out."""

    file: Annotated[UploadFile, Meta(extra_json_schema={"minLength": 1})]
    mode: ImportMode = ImportMode.CREATE
    match_key: MatchKey = MatchKey.EMAIL
    """By what `update` and `upsert` know a row's contact."""
    duplicates: DuplicatePolicy = DuplicatePolicy.SKIP
    dry_run: Flag = "false"
    """Report what every row would do, and do nothing."""
    start: Flag = "true"
    """Where false, the import is a draft: look at `columns`, change what is wrong, start it."""


type ColumnName = Annotated[str, Meta(title=NO_NUL_TITLE, max_length=1000, pattern=NO_NUL)]


class ImportPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a draft: only what is sent is changed."""

    mapping: Annotated[dict[ColumnName, ColumnField | None], Meta(max_length=500)] | UnsetType = UNSET
    """The field of each column that is named, null for one to leave out; other columns stay as they are."""
    mode: ImportMode | UnsetType = UNSET
    match_key: MatchKey | UnsetType = UNSET
    duplicates: DuplicatePolicy | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class DuplicateOut(Struct, frozen=True, kw_only=True):
    """Somebody who may be the same person."""

    contact_id: UUID
    tier: DuplicateTier
    score: int
    """0 to 100; 100 is an exact duplicate."""
    reasons: list[DuplicateReason]
    is_deleted: bool
    """Whether that contact is in the trash."""


class DuplicatesOut(Struct, frozen=True, kw_only=True):
    items: list[DuplicateOut]
    """The likeliest first."""


class DuplicatePairOut(Struct, frozen=True, kw_only=True):
    """Two contacts that may be one person."""

    id: UUID
    first_id: UUID
    second_id: UUID
    tier: DuplicateTier
    score: int
    reasons: list[DuplicateReason]
    dismissed_at: datetime | None
    """When somebody said that they are two people."""


class ScanAccepted(Struct, frozen=True, kw_only=True):
    """The search is on its way; pairs appear as they are found."""

    job_id: UUID


class MergeIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Merge another contact into this one."""

    other_id: UUID
    """The contact that goes; its id stands for this one from then on."""
    take: list[MergeField] = []
    """Fields whose values are the other one's. Elsewhere its values only fill what this one lacks."""
    keep: list[MergeField] = []
    """Fields that stay as they are here, also where they are empty."""


class FieldMerge(Struct, frozen=True, kw_only=True):
    """A field that is not what it was."""

    field: str
    survivor: Any
    other: Any
    result: Any


class MergeOut(Struct, frozen=True, kw_only=True):
    """What a merge does, or would do."""

    id: UUID | None
    """Null in a preview."""
    survivor_id: UUID
    merged_id: UUID
    changes: list[FieldMerge]
    moved_interactions: int
    undo_until: datetime | None


class MergeUndone(Struct, frozen=True, kw_only=True):
    """The two are two again."""

    survivor_id: UUID
    restored_id: UUID
    kept: list[str]
    """Fields that somebody changed after the merge: they stay as they are now."""


class MergeShort(Struct, frozen=True, kw_only=True):
    """A merge that stands."""

    id: UUID
    survivor_id: UUID
    merged_id: UUID
    created_by: UUID | None
    created_at: datetime
    undo_until: datetime


class ImportColumn(Struct, frozen=True, kw_only=True):
    name: str
    field: ColumnField | None
    """What it fills; null for a column that is left out."""


class ImportErrorOut(Struct, frozen=True, kw_only=True):
    """Why one value was not taken; the other rows are imported all the same."""

    line: int
    """Line of the file, its first being line 1; a row that spans lines counts from its first."""
    column: str
    """The column's name in the file, or empty where the row as a whole is wrong."""
    code: str
    reason: str


class ImportRowOut(Struct, frozen=True, kw_only=True):
    """What became of one row. A dry run tells the same as the run that follows it."""

    line: int
    outcome: RowOutcome
    code: str | None
    """Why it was skipped or failed: `duplicate`, `in-trash`, `no-match`, `no-key`, `ambiguous`, `invalid`,
    `stage-not-allowed`."""
    contact_id: UUID | None
    """The contact that it made or changed, or that stood in its way."""


class ImportSummary(Struct, frozen=True, kw_only=True):
    """How far an import is."""

    id: UUID
    version: int
    file_name: str
    file_bytes: int
    state: ImportState
    format: ImportFormat
    source: ImportSource
    encoding: str
    delimiter: str
    mode: ImportMode
    match_key: MatchKey
    duplicates: DuplicatePolicy
    dry_run: bool
    bytes_done: int
    """Of `file_bytes`: how far it is."""
    rows_total: int | None
    """Null until the end of the file was reached."""
    rows_done: int
    rows_created: int
    rows_updated: int
    rows_skipped: int
    rows_failed: int
    contacts_reverted: int
    contacts_kept: int
    """Contacts that a revert left as they are, since they were changed after the import."""
    reason: str | None
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ImportOut(ImportSummary, frozen=True, kw_only=True):
    """The state of an import. Ask again until `state` is `done` or `failed`."""

    columns: list[ImportColumn]
    errors: list[ImportErrorOut]
    """The first hundred; all of them are at `/imports/{id}/errors`."""
