"""Candidates: those that nothing excludes, the likeliest few hundred first. What they are worth is worked out after."""

from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    CompoundSelect,
    DateTime,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute

from core.sdk import Read, mine
from modules.networking.connection_models import Connection
from modules.networking.matching import CONTACT_RULES
from modules.networking.matching_models import MatchFeedback, MatchingProfile
from modules.networking.models import Contact, DuplicatePair
from modules.networking.values import ConnectionState, Consent, Verdict
from modules.networking.visibility import visible

MOST_CANDIDATES = 500
ME = bindparam("me", type_=Uuid())
APART = bindparam("apart", type_=Boolean())
"""Whether people of one company are not recommended to each other."""
COMPANY = bindparam("company", type_=Text())


def _judged(verdict: Verdict) -> Select[UUID]:
    """Whom a verdict was given about. Such sets are few ids and read once, however many candidates there are."""
    return select(MatchFeedback.other_id).where(
        mine(MatchFeedback), MatchFeedback.about_id == ME, MatchFeedback.verdict == verdict.value
    )


def _folded(column: InstrumentedAttribute[str | None]) -> ColumnElement[str]:
    """As `matching.fold` does it, but for letters that PostgreSQL may lower otherwise: results are held to that one."""
    return func.lower(func.btrim(func.regexp_replace(column, r"\s+", " ", "g")), type_=Text)


def _other_company(column: InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
    return or_(~APART, COMPANY.is_(None), _folded(column).is_distinct_from(COMPANY))


def _between() -> CompoundSelect[UUID]:
    """With whom something is that forbids it: they are connected, one has asked or blocks the other, or one has
    declined, or ended it, not long ago."""
    over = or_(Connection.state == ConnectionState.DECLINED.value, Connection.state == ConnectionState.REMOVED.value)
    forbids = or_(
        Connection.state == ConnectionState.PENDING.value,
        Connection.state == ConnectionState.CONNECTED.value,
        Connection.first_blocked_at.is_not(None),
        Connection.second_blocked_at.is_not(None),
        and_(over, Connection.answered_at > bindparam("fresh", type_=DateTime(timezone=True))),
    )
    return union_all(
        select(Connection.second_id).where(mine(Connection), Connection.first_id == ME, forbids),
        select(Connection.first_id).where(mine(Connection), Connection.second_id == ME, forbids),
    )


TERMS = bindparam("terms", type_=ARRAY(Text))
_TERM = func.unnest(MatchingProfile.terms).column_valued("term")
_COMMON = select(func.count(_TERM)).where(any_(TERMS) == _TERM).scalar_subquery()
USEFUL_MEMBER = MatchingProfile.user_id.in_(_judged(Verdict.USEFUL))
MEMBERS = Read(
    select(
        MatchingProfile.user_id,
        MatchingProfile.industry,
        MatchingProfile.interests,
        MatchingProfile.goals,
        MatchingProfile.offers,
        MatchingProfile.company,
        USEFUL_MEMBER.label("is_useful"),
    )
    .where(
        mine(MatchingProfile),
        MatchingProfile.is_open,
        MatchingProfile.user_id != ME,
        MatchingProfile.terms.op("&&", is_comparison=True)(TERMS),
        _other_company(MatchingProfile.company),
        MatchingProfile.user_id.not_in(_judged(Verdict.DISMISSED)),
        MatchingProfile.user_id.not_in(_between()),
    )
    .order_by(USEFUL_MEMBER.desc(), _COMMON.desc(), MatchingProfile.user_id)
    .limit(MOST_CANDIDATES)
)


def _maybe_one_person() -> CompoundSelect[UUID]:
    undecided = (mine(DuplicatePair), ~DuplicatePair.is_dismissed)
    return union_all(
        select(DuplicatePair.second_id).where(*undecided, DuplicatePair.first_id == ME),
        select(DuplicatePair.first_id).where(*undecided, DuplicatePair.second_id == ME),
    )


SHARED = [
    (rule, getattr(Contact, f"{rule.other_field}_key") == bindparam(rule.field, type_=Text())) for rule in CONTACT_RULES
]
_POINTS = sum(
    (case((equal, bindparam(f"{rule.field}_points", type_=Integer())), else_=0) for rule, equal in SHARED),
    start=cast(0, Integer),
)
USEFUL_CONTACT = Contact.id.in_(_judged(Verdict.USEFUL))
CANDIDATE_COLUMNS = (
    Contact.id,
    Contact.first_name,
    Contact.last_name,
    Contact.company,
    *(getattr(Contact, rule.other_field) for rule in CONTACT_RULES),
    USEFUL_CONTACT.label("is_useful"),
)
CANDIDATE = (
    mine(Contact),
    ~Contact.is_deleted,
    visible(Contact),
    Contact.id != ME,
    Contact.marketing_consent != Consent.WITHDRAWN.value,
    _other_company(Contact.company),
    Contact.id.not_in(_judged(Verdict.DISMISSED)),
    Contact.id.not_in(_maybe_one_person()),
)
"""Whom nothing excludes."""
CONTACTS = Read(
    select(*CANDIDATE_COLUMNS)
    .where(*CANDIDATE, or_(*(equal for _, equal in SHARED)))
    .order_by(USEFUL_CONTACT.desc(), _POINTS.desc(), Contact.id)
    .limit(MOST_CANDIDATES)
)
