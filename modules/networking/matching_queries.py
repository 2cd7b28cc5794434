"""Candidates: those that nothing excludes, the likeliest few hundred first. What they are worth is worked out after."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.sdk import Read, mine
from modules.networking.connection_models import Connection
from modules.networking.matching import CONTACT_RULES
from modules.networking.matching_models import MatchFeedback, MatchingProfile
from modules.networking.models import Contact, DuplicatePair
from modules.networking.values import ConnectionState, Consent, Verdict

MOST_CANDIDATES = 500
ME = bindparam("me", type_=Uuid())
APART = bindparam("apart", type_=Boolean())
"""Whether people of one company are not recommended to each other."""
COMPANY = bindparam("company", type_=Text())
USEFUL = func.coalesce(MatchFeedback.verdict == Verdict.USEFUL.value, literal(value=False))
UNDISMISSED = MatchFeedback.verdict.is_distinct_from(Verdict.DISMISSED.value)


def _folded(column: InstrumentedAttribute[str | None]) -> ColumnElement[str]:
    """As `matching.fold` does it, but for letters that PostgreSQL may lower otherwise: results are held to that one."""
    return func.lower(func.btrim(func.regexp_replace(column, r"\s+", " ", "g")), type_=Text)


def _other_company(column: InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
    return or_(~APART, COMPANY.is_(None), _folded(column).is_distinct_from(COMPANY))


def _between() -> ColumnElement[bool]:
    """Something between the two that forbids it: they are connected, one has asked or blocks the other, or one has
    declined, or ended it, not long ago."""
    edge = aliased(Connection)
    over = or_(edge.state == ConnectionState.DECLINED.value, edge.state == ConnectionState.REMOVED.value)
    return (
        select(edge.id)
        .where(
            mine(edge),
            edge.first_id == func.least(ME, MatchingProfile.user_id),
            edge.second_id == func.greatest(ME, MatchingProfile.user_id),
            or_(
                edge.state == ConnectionState.PENDING.value,
                edge.state == ConnectionState.CONNECTED.value,
                edge.first_blocked_at.is_not(None),
                edge.second_blocked_at.is_not(None),
                and_(over, edge.answered_at > bindparam("fresh", type_=DateTime(timezone=True))),
            ),
        )
        .exists()
    )


def _feedback_of(other: InstrumentedAttribute[object]) -> ColumnElement[bool]:
    return and_(mine(MatchFeedback), MatchFeedback.about_id == ME, MatchFeedback.other_id == other)


TERMS = bindparam("terms", type_=ARRAY(Text))
_TERM = func.unnest(MatchingProfile.terms).column_valued("term")
_COMMON = select(func.count(_TERM)).where(any_(TERMS) == _TERM).scalar_subquery()
MEMBERS = Read(
    select(
        MatchingProfile.user_id,
        MatchingProfile.industry,
        MatchingProfile.interests,
        MatchingProfile.goals,
        MatchingProfile.offers,
        MatchingProfile.company,
        MatchFeedback.verdict,
    )
    .outerjoin(MatchFeedback, _feedback_of(MatchingProfile.user_id))
    .where(
        mine(MatchingProfile),
        MatchingProfile.is_open,
        MatchingProfile.user_id != ME,
        MatchingProfile.terms.op("&&", is_comparison=True)(TERMS),
        _other_company(MatchingProfile.company),
        UNDISMISSED,
        ~_between(),
    )
    .order_by(USEFUL.desc(), _COMMON.desc(), MatchingProfile.user_id)
    .limit(MOST_CANDIDATES)
)


def _maybe_one_person() -> ColumnElement[bool]:
    pair = aliased(DuplicatePair)
    return (
        select(pair.id)
        .where(
            mine(pair),
            ~pair.is_dismissed,
            pair.first_id == func.least(ME, Contact.id),
            pair.second_id == func.greatest(ME, Contact.id),
        )
        .exists()
    )


SHARED = [
    (rule, _folded(getattr(Contact, rule.other_field)) == bindparam(rule.field, type_=Text())) for rule in CONTACT_RULES
]
_POINTS = sum(
    (case((equal, bindparam(f"{rule.field}_points", type_=Integer())), else_=0) for rule, equal in SHARED),
    start=cast(0, Integer),
)
CONTACTS = Read(
    select(
        Contact.id,
        Contact.first_name,
        Contact.last_name,
        Contact.company,
        *(getattr(Contact, rule.other_field) for rule in CONTACT_RULES),
        MatchFeedback.verdict,
    )
    .outerjoin(MatchFeedback, _feedback_of(Contact.id))
    .where(
        mine(Contact),
        ~Contact.is_deleted,
        Contact.id != ME,
        Contact.marketing_consent != Consent.WITHDRAWN.value,
        or_(*(equal for _, equal in SHARED)),
        _other_company(Contact.company),
        UNDISMISSED,
        ~_maybe_one_person(),
    )
    .order_by(USEFUL.desc(), _POINTS.desc(), Contact.id)
    .limit(MOST_CANDIDATES)
)
