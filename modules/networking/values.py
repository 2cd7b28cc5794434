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


class ImportState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """The file as a whole could not be read; `reason` says why. Single bad rows don't fail an import."""


def one_of(column: str, kind: type[StrEnum]) -> str:
    """The set as a CHECK constraint's condition."""
    return f"{column} IN ({', '.join(repr(member.value) for member in kind)})"
