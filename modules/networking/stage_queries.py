"""The read side of the pipeline: a contact's stays, its timeline, and the funnel of all."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    extract,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped

from core.sdk import ListQuery, Read, mine
from modules.networking.models import Contact, ContactInteraction, ContactMerge
from modules.networking.stage_models import ContactStage
from modules.networking.values import ContactType
from modules.networking.visibility import visible

STAYED = extract("epoch", func.coalesce(ContactStage.left_at, func.now()) - ContactStage.entered_at)

STAGES = ListQuery(
    ContactStage,
    columns=(
        ContactStage.id,
        ContactStage.stage,
        ContactStage.from_stage,
        ContactStage.to_stage,
        ContactStage.entered_at,
        ContactStage.left_at,
        cast(func.greatest(func.floor(STAYED), 0), Integer).label("duration_seconds"),
        ContactStage.reason,
        ContactStage.moved_by,
        ContactStage.source,
    ),
    filters={"contact_id": ContactStage.contact_id == bindparam("contact_id")},
    sorts={"entered_at": ContactStage.entered_at},
    default_sort="entered_at",
)

TOLD: dict[str, Any] = {
    "interaction_type": Text,
    "status": Text,
    "subject": Text,
    "from_stage": Text,
    "to_stage": Text,
    "source": Text,
    "reason": Text,
    "merged_id": Uuid,
}
"""What an entry can tell beside its kind, its moment and whose doing it was."""


def _entries(
    kind: str, *common: InstrumentedAttribute[Any], where: Sequence[ColumnElement[bool]] = (), **told: Any
) -> Select[Any]:
    """One kind's entries. `common` is the organization, the contact, the id, the moment and the person, in turn."""
    names = ("organization_id", "contact_id", "id", "at", "user_id")
    columns = [column.label(name) for name, column in zip(names, common, strict=True)]
    said = [(told[name] if name in told else cast(null(), type_)).label(name) for name, type_ in TOLD.items()]
    return select(*columns, literal_column(f"'{kind}'::text", Text).label("kind"), *said).where(*where)


LIFE = union_all(
    _entries("created", Contact.organization_id, Contact.id, Contact.id, Contact.created_at, Contact.created_by),
    _entries(
        "interaction",
        ContactInteraction.organization_id,
        ContactInteraction.contact_id,
        ContactInteraction.id,
        ContactInteraction.interaction_date,
        ContactInteraction.user_id,
        where=[~ContactInteraction.is_deleted],
        interaction_type=ContactInteraction.interaction_type,
        status=ContactInteraction.status,
        subject=ContactInteraction.subject,
    ),
    _entries(
        "stage",
        ContactStage.organization_id,
        ContactStage.contact_id,
        ContactStage.id,
        ContactStage.entered_at,
        ContactStage.moved_by,
        where=[ContactStage.from_stage.is_not(None)],
        from_stage=ContactStage.from_stage,
        to_stage=ContactStage.stage,
        source=ContactStage.source,
        reason=ContactStage.reason,
    ),
    _entries(
        "merge",
        ContactMerge.organization_id,
        ContactMerge.survivor_id,
        ContactMerge.id,
        ContactMerge.created_at,
        ContactMerge.created_by,
        merged_id=ContactMerge.merged_id,
    ),
).subquery("timeline")


class _Derived(DeclarativeBase):
    """Rows of queries; there is no table behind them."""


class Moment(_Derived):
    """An entry of a timeline. PostgreSQL takes the conditions on it into each kind's own index."""

    __table__: ClassVar[FromClause] = LIFE
    __tablename__ = "timeline"
    __mapper_args__ = {"primary_key": [LIFE.c.id]}

    organization_id: Mapped[UUID]
    id: Mapped[UUID]
    at: Mapped[datetime]


TIMELINE = ListQuery(
    Moment,
    columns=(LIFE.c.id, LIFE.c.kind, LIFE.c.at, LIFE.c.user_id, *(LIFE.c[name] for name in TOLD)),
    where=[mine(Moment)],
    filters={"contact_id": LIFE.c.contact_id == bindparam("contact_id")},
    sorts={"at": Moment.at},
    default_sort="-at",
)


STAGE_NAMES = ", ".join(f"'{stage.value}'" for stage in ContactType)
ORDERED: ColumnElement[Any] = literal_column(f"ARRAY[{STAGE_NAMES}]")


def _place(stage: ColumnElement[Any]) -> ColumnElement[int]:
    return func.array_position(ORDERED, stage)


@lru_cache(maxsize=2)
def funnel(*, of_owner: bool) -> Read:
    """What became until `ends_at` of the stays that began from `begins_at` up to it, by stage: of living
    contacts that the viewer sees."""
    owner = [Contact.owner_id == bindparam("owner_id", type_=Uuid())] if of_owner else []
    ends_at = bindparam("ends_at", type_=ContactStage.entered_at.type)
    stay = (
        select(ContactStage.stage, ContactStage.to_stage, ContactStage.entered_at, ContactStage.left_at)
        .join(
            Contact,
            (Contact.organization_id == ContactStage.organization_id) & (Contact.id == ContactStage.contact_id),
        )
        .where(
            mine(ContactStage),
            mine(Contact),
            ~Contact.is_deleted,
            visible(Contact),
            *owner,
            ContactStage.entered_at >= bindparam("begins_at", type_=ContactStage.entered_at.type),
            ContactStage.entered_at < ends_at,
        )
        .subquery("stay")
    )
    left, moved = stay.c.left_at < ends_at, stay.c.to_stage.is_not(None)
    seconds = extract("epoch", stay.c.left_at - stay.c.entered_at)
    onward = _place(stay.c.to_stage) > _place(stay.c.stage)
    count = func.count()
    return Read(
        select(
            stay.c.stage,
            count.label("entered"),
            count.filter(left & moved & onward).label("left_onward"),
            count.filter(left & moved & ~onward).label("left_back"),
            count.filter(left & ~moved).label("merged"),
            count.filter(stay.c.left_at.is_(None) | ~left).label("still_in"),
            *(
                func.percentile_cont(literal_column(str(part))).within_group(seconds).filter(left & moved).label(name)
                for name, part in (("median_seconds", 0.5), ("p90_seconds", 0.9))
            ),
        ).group_by(stay.c.stage)
    )
