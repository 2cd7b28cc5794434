"""Matching: what members say of themselves to be recommended, and what was said of recommendations."""

from uuid import UUID

from sqlalchemy import ARRAY, Boolean, CheckConstraint, Text

from core.sdk import PII, Mapped, OptionalPii, SubjectId, TenantModel, mapped_column, tenant_index, tenant_unique
from modules.networking.models import SCHEMA
from modules.networking.values import Verdict, one_of


class MatchingProfile(TenantModel, schema=SCHEMA):
    """What a member lets others be matched by, as long as it is open."""

    __tablename__ = "matching_profiles"
    __table_args__ = (tenant_unique("user_id"),)

    user_id: Mapped[SubjectId]
    is_open: Mapped[bool] = mapped_column(Boolean, default=False, server_default="false")
    """Nobody is recommended, nor gets recommendations, who has not opened their profile."""
    company: Mapped[OptionalPii]
    industry: Mapped[OptionalPii]
    interests: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}", info=PII)
    goals: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}", info=PII)
    """What they look for."""
    offers: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}", info=PII)
    terms: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}", info=PII)
    """All of these, folded: by them candidates are found."""


class MatchFeedback(TenantModel, schema=SCHEMA):
    """What was said of one recommendation: by the member whom it was for, or by whoever looks after the contact."""

    __tablename__ = "match_feedback"
    __table_args__ = (
        CheckConstraint(one_of("verdict", Verdict), name="verdict"),
        tenant_unique("about_id", "other_id"),
        tenant_index("ix_match_feedback_other", "other_id"),
    )

    about_id: Mapped[SubjectId]
    """The member or the contact that it was for."""
    other_id: Mapped[SubjectId]
    verdict: Mapped[str]
    given_by: Mapped[UUID | None]
