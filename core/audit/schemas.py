"""What the routes of the trail answer."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct


class AuditAction(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RESTORE = "restore"
    READ = "read"


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change of one row, or one look at what is sensitive."""

    id: UUID
    created_at: datetime
    user_id: UUID | None
    """Whose account acted; null where nobody was signed in, and for the system itself."""
    impersonator_id: UUID | None
    """The operator behind the account, where it was not its owner."""
    api_key_id: UUID | None
    address: str | None
    correlation_id: str | None
    job_id: UUID | None
    job_name: str | None
    table_name: str
    record_id: UUID | None
    action: AuditAction
    old_values: dict[str, Any] | None
    """Of an update, only what differs."""
    new_values: dict[str, Any] | None
    metadata: dict[str, Any]


class Fault(StrEnum):
    """What is wrong with a chain."""

    SEAL_MISSING = "seal-missing"
    ENTRIES_MISSING = "entries-missing"
    ENTRIES_ADDED = "entries-added"
    CHANGED = "changed"
    """An entry, or the seal itself."""
    HEAD_MISSING = "head-missing"
    """The head that was noted before is not in the chain: its end was taken away, or all of it made anew."""
    KEY_UNKNOWN = "key-unknown"
    """It was made with a key that `PLUGS_ENCRYPTION_KEYS` no longer holds, so it can't be told."""


class Head(Struct, frozen=True, kw_only=True):
    """A seal by its number and hash. Noted outside the system, it proves later that nothing before it is gone."""

    number: int
    hash: str
    """In hexadecimal digits."""


class Verification(Struct, frozen=True, kw_only=True):
    """What was found. Where it is not complete, ask again with `after` set to the head's number."""

    intact: bool
    complete: bool
    seals: int
    """That hold, of those looked at."""
    entries: int
    """Under them."""
    unsealed: int
    """Entries too young to be sealed."""
    head: Head | None
    """The last seal that holds."""
    broken_at: int | None
    """Number of the first seal that doesn't, or is not there."""
    fault: Fault | None
