"""Lead scores: the rules as they were over time, each contact's score with its reasons, and recomputations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from core.sdk import Mapped, SubjectId, TenantModel, mapped_column, tenant_index, tenant_reference, tenant_unique
from modules.networking.models import SCHEMA
from modules.networking.values import RunState, one_of


class ScoreRules(TenantModel, schema=SCHEMA):
    """One version of an organization's rules. It never changes: whoever changes the rules makes the next one."""

    __tablename__ = "score_rules"
    __table_args__ = (tenant_unique("number"),)

    number: Mapped[int]
    """The greatest one counts."""
    rules: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_by: Mapped[UUID | None]


class ContactScore(TenantModel, schema=SCHEMA, unaudited="worked out from contacts and interactions"):
    """How a contact's `lead_score` came about."""

    __tablename__ = "contact_scores"
    __table_args__ = (tenant_unique("contact_id"), tenant_reference("contact_id", f"{SCHEMA}.contacts"))

    contact_id: Mapped[SubjectId]
    score: Mapped[int]
    rules_number: Mapped[int]
    as_of: Mapped[datetime]
    """The moment from which ages were counted."""
    lines: Mapped[list[Any]] = mapped_column(JSONB, default=list, server_default=text("'[]'"))
    """They add up to the score."""


class ScoreRun(TenantModel, schema=SCHEMA, unaudited="a job's progress"):
    """A recomputation of all contacts. `after` is where a crashed one goes on."""

    __tablename__ = "score_runs"
    __table_args__ = (
        CheckConstraint(one_of("state", RunState), name="state"),
        tenant_index("ix_score_runs_created", "created_at", "id"),
    )

    state: Mapped[str] = mapped_column(Text, default=RunState.QUEUED.value)
    rules_number: Mapped[int]
    as_of: Mapped[datetime]
    after: Mapped[UUID | None]
    contacts_total: Mapped[int | None]
    contacts_done: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    contacts_changed: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    created_by: Mapped[UUID | None]
    finished_at: Mapped[datetime | None]
