"""What goes in and out of the routes of contacts and interactions."""

from datetime import datetime
from typing import Annotated
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
    Url,
)
from modules.networking.field_schemas import CustomValues
from modules.networking.tag_schemas import TagNames
from modules.networking.values import (
    Consent,
    ContactStatus,
    ContactType,
    InteractionStatus,
    InteractionType,
    Priority,
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
    tags: TagNames = []
    """By name, however it is written; those that are not there yet are made."""


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
    tags: TagNames | UnsetType = UNSET
    """All that it is to have, by name; those that are not there yet are made."""
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
