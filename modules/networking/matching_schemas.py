"""What goes in and out of the routes about matching."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from core.sdk import OptionalText, ShortText
from modules.networking.matching import Reason
from modules.networking.values import Verdict

type Terms = Annotated[list[ShortText], Meta(max_length=50)]


class MatchingProfileIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What others may be matched by. It replaces what was there; only an open profile is matched."""

    is_open: bool
    company: OptionalText | None = None
    industry: OptionalText | None = None
    interests: Terms = []
    goals: Terms = []
    """What one looks for: `a co-founder`, `investors`."""
    offers: Terms = []
    """What one gives: it is held against the goals of others."""


class MatchingProfileOut(Struct, frozen=True, kw_only=True):
    """One's own profile. Before it is first set, it is empty and closed."""

    version: int
    is_open: bool
    company: str | None
    industry: str | None
    interests: list[str]
    goals: list[str]
    offers: list[str]
    updated_at: datetime | None


class FeedbackIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    verdict: Verdict


class Recommendation(Struct, frozen=True, kw_only=True):
    """Somebody to meet."""

    id: UUID
    """Of the member, or of the contact."""
    name: str
    score: int
    """The sum of the reasons' points."""
    reasons: list[Reason]
    """The weightiest first; they cite what really is in both records."""
    feedback: Verdict | None


class Recommendations(Struct, frozen=True, kw_only=True):
    """The best ones: those that were found useful first, then by score, then by id."""

    items: list[Recommendation]
