"""The closed sets of networking, as the data model names them."""

from enum import StrEnum


class ContactType(StrEnum):
    """How far along the pipeline: someone to reach, someone known, someone won."""

    TARGET = "target"
    CONTACT = "contact"
    PLUG = "plug"


class ContactStatus(StrEnum):
    NEW_CLIENT = "new_client"
    EXISTING_CLIENT = "existing_client"
    HOT_LEAD = "hot_lead"
    COLD_LEAD = "cold_lead"


class Priority(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Visibility(StrEnum):
    """Who sees a contact."""

    ORGANIZATION = "organization"
    OWNER = "owner"
    """Its owner alone."""
    SHARED = "shared"
    """Its owner, and the members and teams that it is shared with."""


class Grantee(StrEnum):
    """Whom a contact is shared with."""

    MEMBER = "member"
    TEAM = "team"


class InteractionType(StrEnum):
    MEETING = "meeting"
    CALL = "call"
    EMAIL = "email"
    LINKEDIN = "linkedin"
    EVENT = "event"
    FOLLOW_UP = "follow_up"


class InteractionStatus(StrEnum):
    COMPLETED = "completed"
    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"


class Consent(StrEnum):
    """Whether a person may be written to about offers. The strictest of two that disagree wins."""

    GRANTED = "granted"
    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"


def strictest(*given: str) -> Consent:
    return max(map(Consent, given), key=list(Consent).index)


class ImportState(StrEnum):
    DRAFT = "draft"
    """Its mapping and options may still be changed; it waits to be started."""
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """The file as a whole could not be read; `reason` says why. Single bad rows don't fail an import."""
    REVERTING = "reverting"
    REVERTED = "reverted"


class ImportFormat(StrEnum):
    CSV = "csv"
    VCARD = "vcard"


class ImportSource(StrEnum):
    """The program whose export a file looks like."""

    GOOGLE = "google"
    LINKEDIN = "linkedin"
    HUBSPOT = "hubspot"
    OUTLOOK = "outlook"
    VCARD = "vcard"
    OTHER = "other"


class ImportMode(StrEnum):
    """What a row may do. `update` and `upsert` look for its contact by the import's `match_key`."""

    CREATE = "create"
    UPDATE = "update"
    UPSERT = "upsert"


class MatchKey(StrEnum):
    EMAIL = "email"
    PHONE = "phone"
    LINKEDIN = "linkedin"
    ID = "id"


class DuplicatePolicy(StrEnum):
    """What becomes of a row that would be a new contact, but shares an address, a number or a profile with one."""

    SKIP = "skip"
    UPDATE = "update"
    CREATE = "create"


class DuplicateTier(StrEnum):
    EXACT = "exact"
    """They share an address, a number or a profile."""
    FUZZY = "fuzzy"
    """Their names, and their companies where both are known, are alike."""


class DuplicateReason(StrEnum):
    SAME_EMAIL = "same-email"
    SAME_PHONE = "same-phone"
    SAME_LINKEDIN = "same-linkedin"
    SAME_NAME = "same-name"
    SIMILAR_NAME = "similar-name"
    SAME_COMPANY = "same-company"
    SIMILAR_COMPANY = "similar-company"


class StageSource(StrEnum):
    """What brought a contact to a stage."""

    API = "api"
    IMPORT = "import"
    REVERT = "revert"
    MERGE = "merge"
    BACKFILL = "backfill"
    """It was there before stages were written down: since when is not known, but not before it was created."""


class MergeField(StrEnum):
    """What can be chosen from either side of a merge. Addresses are kept all, consent is the stricter one."""

    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    EMAIL = "email"
    PHONE = "phone"
    COMPANY = "company"
    JOB_TITLE = "job_title"
    LINKEDIN_URL = "linkedin_url"
    BIO = "bio"
    AVATAR_URL = "avatar_url"
    CONTACT_TYPE = "contact_type"
    STATUS = "status"
    PRIORITY = "priority"
    BUSINESS_TYPE = "business_type"
    NETWORK_TYPE = "network_type"
    INDUSTRY = "industry"
    NOTES = "notes"
    METADATA = "metadata"
    CUSTOM = "custom"


class FieldKind(StrEnum):
    """What the values of a custom field are."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    SELECT = "select"
    MULTI_SELECT = "multi_select"
    URL = "url"


class RowOutcome(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    SKIPPED = "skipped"
    FAILED = "failed"


class RevertOutcome(StrEnum):
    REVERTED = "reverted"
    KEPT = "kept"
    """The contact was changed since the import, so it stays as it is."""


class ImportField(StrEnum):
    """What a column of a file can be."""

    ID = "id"
    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    FULL_NAME = "full_name"
    """Split into first and last name, where those have no value of their own."""
    EMAIL = "email"
    """The first column with a value is the address; those of further columns are additional ones."""
    PHONE = "phone"
    COMPANY = "company"
    JOB_TITLE = "job_title"
    LINKEDIN_URL = "linkedin_url"
    WEBSITE = "website"
    """Taken where it is a LinkedIn profile."""
    BIO = "bio"
    AVATAR_URL = "avatar_url"
    CONTACT_TYPE = "contact_type"
    STATUS = "status"
    PRIORITY = "priority"
    BUSINESS_TYPE = "business_type"
    NETWORK_TYPE = "network_type"
    INDUSTRY = "industry"
    NOTES = "notes"
    MARKETING_CONSENT = "marketing_consent"
    OPTED_OUT = "opted_out"
    """Yes means that consent is withdrawn; anything else says nothing."""
    TAGS = "tags"
    """Added to those that the contact has; ones that are not there yet are made."""
    STAGE_REASON = "stage_reason"
    """Why a contact goes back to an earlier stage."""


class ConnectionState(StrEnum):
    """How two members stand to each other, but for blocks: those are beside it and outrank it."""

    PENDING = "pending"
    CONNECTED = "connected"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    REMOVED = "removed"
    NONE = "none"
    """Neither has ever asked: there is only a block."""


class Direction(StrEnum):
    """Of a request, as one of the two sees it."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


class Verdict(StrEnum):
    """What somebody says of a recommendation."""

    USEFUL = "useful"
    DISMISSED = "dismissed"
    """It never comes back."""


class RunState(StrEnum):
    """Of a recomputation of all scores."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"


def one_of(column: str, kind: type[StrEnum]) -> str:
    """The set as a CHECK constraint's condition."""
    return f"{column} IN ({', '.join(repr(member.value) for member in kind)})"
