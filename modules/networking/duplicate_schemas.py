"""What goes in and out of the routes of duplicates and merges."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from modules.networking.field_schemas import KEY
from modules.networking.values import DuplicateReason, DuplicateTier, MergeField


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


type MergeChoice = Annotated[
    str,
    Meta(
        title="the name of a field, or custom. and the key of one of your own",
        examples=["company"],
        pattern=f"^(?:{'|'.join(MergeField)}|custom\\.{KEY})$(?!\\n)",
    ),
]
"""`custom` is all of the organization's own fields; what is said of one of them stands above it."""
type MergeChoices = Annotated[list[MergeChoice], Meta(max_length=500)]


class MergeIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Merge another contact into this one."""

    other_id: Annotated[UUID, Meta(examples=["01a1fdc4-0d2e-7c55-9c1c-6d3f0f3b7a10"])]
    """The contact that goes; its id stands for this one from then on."""
    take: MergeChoices = []
    """Fields whose values are the other one's. Elsewhere its values only fill what this one lacks."""
    keep: MergeChoices = []
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
