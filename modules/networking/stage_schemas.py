"""What goes in and out of the routes about stages, the timeline and the funnel."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from modules.networking.schemas import ContactPatch
from modules.networking.values import ContactType, InteractionStatus, InteractionType, StageSource


class StageMove(ContactPatch, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take a contact to another stage. Submitting a plug is this: the stage, and the fields that it takes."""

    contact_type: ContactType  # pyright: ignore[reportGeneralTypeIssues] # fields have no order here


class StageOut(Struct, frozen=True, kw_only=True):
    """One stay at a stage."""

    id: UUID
    stage: ContactType
    from_stage: ContactType | None
    """Null where the contact came new."""
    to_stage: ContactType | None
    """Null as long as it is there, and where a merge ended it."""
    entered_at: datetime
    left_at: datetime | None
    duration_seconds: int
    """Up to now, where it is still there."""
    reason: str | None
    moved_by: UUID | None
    source: StageSource


class TimelineEntry(Struct, frozen=True, kw_only=True):
    """Something in a contact's life. What doesn't belong to its `kind` is null."""

    id: UUID
    """Of the contact, interaction, stay or merge that it tells of."""
    kind: Literal["created", "interaction", "stage", "merge"]
    at: datetime
    user_id: UUID | None
    interaction_type: InteractionType | None
    status: InteractionStatus | None
    subject: str | None
    from_stage: ContactType | None
    to_stage: ContactType | None
    source: StageSource | None
    reason: str | None
    merged_id: UUID | None


class FunnelStage(Struct, frozen=True, kw_only=True):
    """What became, until the end of the range, of the stays that began in it. They add up: `entered` is the sum of
    `left_onward`, `left_back`, `merged` and `still_in`."""

    stage: ContactType
    entered: int
    left_onward: int
    left_back: int
    merged: int
    """Ended as their contact was merged into another one."""
    still_in: int
    conversion_rate: float | None
    """`left_onward` of `entered`, 0 to 1; null where nobody entered."""
    median_seconds: float | None
    """How long those that left, onward or back, had been there; null where none has."""
    p90_seconds: float | None


class FunnelOut(Struct, frozen=True, kw_only=True):
    """From `begins_at` up to, and without, `ends_at`."""

    begins_at: datetime | None
    """Null where it has no beginning."""
    ends_at: datetime | None
    """Null where it goes up to now."""
    zone: str
    """Whose midnights bound the days."""
    stages: list[FunnelStage]
