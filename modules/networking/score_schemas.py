"""What goes in and out of the routes about lead scores."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from core.sdk import ShortText
from modules.networking.values import InteractionType, RunState

type Points = Annotated[int, Meta(ge=-1000, le=1000)]
type AgeDays = Annotated[int, Meta(ge=1, le=3650)]
type ScoredField = Literal[
    "contact_type", "status", "priority", "business_type", "network_type", "industry", "company", "job_title",
    "email", "phone", "linkedin_url", "marketing_consent",
]  # fmt: skip


class FieldRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for what a field holds. Without `values`, for its holding anything; upper and lower case are the same."""

    field: ScoredField
    points: Points
    values: Annotated[list[ShortText], Meta(max_length=50)] = []


class InteractionRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for each interaction of a type that took place, the latest `most` of them, fading with their age."""

    interaction_type: InteractionType
    points: Points
    most: Annotated[int, Meta(ge=1, le=50)] = 10


class RecencyRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points where the last interaction is at most (`within`) or more than (`beyond`) so many days ago.

    No interaction at all is beyond any number of days.
    """

    when: Literal["within", "beyond"]
    days: AgeDays
    points: Points


class ScoreRulesIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rules of lead scores. A score is the sum of what they give, held between `least` and `most`."""

    fields: Annotated[list[FieldRule], Meta(max_length=100)] = []
    interactions: Annotated[list[InteractionRule], Meta(max_length=50)] = []
    recency: Annotated[list[RecencyRule], Meta(max_length=20)] = []
    half_life_days: AgeDays | None = 90
    """The age at which an interaction counts half; null lets nothing fade."""
    least: Annotated[int, Meta(ge=-1000, le=0)] = 0
    """No more than what a contact has of whom nothing is known."""
    most: Annotated[int, Meta(ge=1, le=1000)] = 100


class ScoreRulesOut(Struct, frozen=True, kw_only=True):
    id: UUID | None
    """Null for the rules that an organization has as long as it has set none."""
    number: int
    rules: ScoreRulesIn
    created_by: UUID | None
    created_at: datetime | None


class ScoreRulesRow(Struct, frozen=True, kw_only=True):
    id: UUID
    number: int
    rules: ScoreRulesIn
    created_by: UUID | None
    created_at: datetime


class ScoreLine(Struct, frozen=True, kw_only=True):
    """One reason of a score: "+15 meeting, 12 days ago"."""

    points: int
    reason: str
    interaction_id: UUID | None = None


class ScoreOut(Struct, frozen=True, kw_only=True):
    contact_id: UUID
    score: int
    rules_number: int
    as_of: datetime
    lines: list[ScoreLine]
    """They add up to the score."""


class ScorePreview(Struct, frozen=True, kw_only=True):
    contact_id: UUID
    before: int
    after: int
    lines: list[ScoreLine]


class ScorePreviews(Struct, frozen=True, kw_only=True):
    """What rules would make of the contacts that changed last."""

    items: list[ScorePreview]


class ScoreRunOut(Struct, frozen=True, kw_only=True):
    """A recomputation of all contacts. Ask again until `state` is `done`."""

    id: UUID
    state: RunState
    rules_number: int
    as_of: datetime
    contacts_total: int | None
    contacts_done: int
    contacts_changed: int
    created_by: UUID | None
    created_at: datetime
    finished_at: datetime | None
