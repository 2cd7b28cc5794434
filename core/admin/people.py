"""People and their sessions, across organizations."""

from uuid import UUID

import msgspec
from sqlalchemy import Boolean, Text, Uuid, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.admin.platform import Platform, columns_of
from core.admin.schemas import PersonDetails, PersonOut, PersonSessionOut, PlaceOut
from core.db.pages import ListQuery
from core.errors import Conflict, NotFound
from core.identity.credential_models import RecoveryCode, TotpFactor
from core.identity.models import Membership, Organization, Session, User
from core.identity.operator_models import Operator
from core.identity.sessions import end_sessions
from core.principal import Principal

HAS_FACTOR = select(TotpFactor.user_id).where(TotpFactor.user_id == User.id, TotpFactor.confirmed_at.is_not(None))
IS_OPERATOR = select(Operator.user_id).where(Operator.user_id == User.id)
COLUMNS = columns_of(
    User,
    PersonOut,
    has_second_factor=HAS_FACTOR.correlate(User).exists(),
    is_operator=IS_OPERATOR.correlate(User).exists(),
)
WANTED = func.lower(bindparam("q", type_=Text))
PEOPLE = ListQuery(
    User,
    columns=COLUMNS,
    where=[User.is_deleted.is_(False)],
    sorts={"created_at": User.created_at, "email": User.email, "last_login": User.last_login},
    filters={
        "q": or_(
            func.strpos(User.email, WANTED) > 0,
            func.strpos(func.lower(User.first_name + " " + User.last_name), WANTED) > 0,
        ),
        "is_active": User.is_active == bindparam("is_active", type_=Boolean),
        "organization_id": select(Membership.id)
        .where(
            Membership.organization_id == bindparam("organization_id", type_=Uuid),
            Membership.user_id == User.id,
        )
        .correlate(User)
        .exists(),
    },
)
LIVING = and_(Session.revoked_at.is_(None), Session.expires_at > func.now())
SESSIONS = ListQuery(
    Session,
    columns=columns_of(Session, PersonSessionOut, email=User.email, living=LIVING),
    where=[User.id == Session.user_id],
    sorts={"created_at": Session.created_at, "last_used_at": Session.last_used_at},
    filters={
        "user_id": Session.user_id == bindparam("user_id", type_=Uuid),
        "organization_id": Session.organization_id == bindparam("organization_id", type_=Uuid),
        "living": bindparam("living", type_=Boolean) == LIVING,
    },
)


async def get_person(platform: Platform, user_id: UUID) -> PersonDetails:
    async with platform.database.system() as system:
        return await _told(system, user_id)


async def disable_person(platform: Platform, operator: Principal, user_id: UUID) -> PersonDetails:
    """Ends their sessions; their API keys stop as well. An organization may be left without an active owner."""
    async with platform.database.system() as system:
        await _within_reach(system, user_id)
        await _set_active(system, user_id, operator, is_active=False)
        await end_sessions(system, user_id, reason="account-disabled")
        return await _told(system, user_id)


async def enable_person(platform: Platform, operator: Principal, user_id: UUID) -> PersonDetails:
    async with platform.database.system() as system:
        await _locked(system, user_id)
        await _set_active(system, user_id, operator, is_active=True)
        return await _told(system, user_id)


async def sign_out_everywhere(platform: Platform, user_id: UUID) -> int:
    """Returns how many sessions that were."""
    async with platform.database.system() as system:
        await _locked(system, user_id)
        return await end_sessions(system, user_id, reason="signed-out-by-operator")


async def reset_second_factor(platform: Platform, user_id: UUID) -> PersonDetails:
    """Take it off somebody who lost it, and end their sessions. Raises `Conflict` where there is none."""
    async with platform.database.system() as system:
        await _within_reach(system, user_id)
        gone = await system.scalar(
            delete(TotpFactor).where(TotpFactor.user_id == user_id).returning(TotpFactor.user_id)
        )
        if gone is None:
            raise Conflict("There is no second factor", code="mfa-not-on")
        await system.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
        await end_sessions(system, user_id, reason="second-factor-reset")
        return await _told(system, user_id)


async def end_session(platform: Platform, session_id: UUID) -> None:
    """Raises `NotFound` for one that has ended."""
    async with platform.database.system() as system:
        user_id = await system.scalar(select(Session.user_id).where(Session.id == session_id))
        which = Session.id == session_id
        if user_id is None or not await end_sessions(system, user_id, which, reason="ended-by-operator"):
            raise NotFound("There is no such session, or it has ended")


async def check_no_operator(system: AsyncSession, user_id: UUID) -> None:
    """Raises `Conflict`: operators are looked after on the server, so that none gets at the others, or at themselves
    in somebody else's place."""
    if await system.get(Operator, user_id) is not None:
        raise Conflict("They are an operator: take that from them first, on the server", code="is-operator")


async def _within_reach(system: AsyncSession, user_id: UUID) -> None:
    await _locked(system, user_id)
    await check_no_operator(system, user_id)


async def _locked(system: AsyncSession, user_id: UUID) -> None:
    """Raises `NotFound` where there is no such person."""
    found = select(User.id).where(User.id == user_id, User.is_deleted.is_(False)).with_for_update(key_share=True)
    if await system.scalar(found) is None:
        raise NotFound("There is no such person")


async def _set_active(system: AsyncSession, user_id: UUID, operator: Principal, *, is_active: bool) -> None:
    await system.execute(
        update(User)
        .where(User.id == user_id, User.is_active.is_not(is_active))
        .values(is_active=is_active, updated_by=operator.user_id, updated_at=clock.now(), version=User.version + 1)
        .execution_options(synchronize_session=False)
    )


async def _told(system: AsyncSession, user_id: UUID) -> PersonDetails:
    person = select(*COLUMNS).where(User.id == user_id, User.is_deleted.is_(False))
    row = (await system.execute(person)).one_or_none()
    if row is None:
        raise NotFound("There is no such person")
    places = await system.execute(
        select(
            Organization.id.label("organization_id"),
            Organization.name,
            Organization.slug,
            Membership.role,
            Membership.is_active,
        )
        .join(Membership, Membership.organization_id == Organization.id)
        .where(Membership.user_id == user_id)
        .order_by(Organization.slug)
    )
    organizations = msgspec.convert(places.all(), list[PlaceOut], from_attributes=True)
    told = msgspec.convert(row, PersonOut, from_attributes=True)
    return PersonDetails(**msgspec.structs.asdict(told), organizations=organizations)
