"""Beginning, listing and ending impersonations. What one may do in somebody's place: `core.identity.impersonation`."""

from datetime import timedelta
from uuid import UUID

import msgspec
from sqlalchemy import Boolean, Uuid, and_, bindparam, func, select, update

from core import clock
from core.admin.people import check_no_operator
from core.admin.platform import Platform, columns_of
from core.admin.schemas import ImpersonationIn, ImpersonationMade, ImpersonationOut
from core.db.pages import ListQuery
from core.errors import Forbidden, NotFound
from core.identity.models import Membership, Organization, User
from core.identity.operator_models import Impersonation
from core.identity.operators import PLATFORM_IMPERSONATE_WRITE
from core.identity.standing import check_standing
from core.identity.tokens import AccessClaims
from core.ids import new_id
from core.principal import Principal

LIVING = and_(Impersonation.ended_at.is_(None), Impersonation.expires_at > func.now())
IMPERSONATIONS = ListQuery(
    Impersonation,
    columns=columns_of(Impersonation, ImpersonationOut),
    sorts={"created_at": Impersonation.created_at},
    filters={
        "operator_id": Impersonation.operator_id == bindparam("operator_id", type_=Uuid),
        "organization_id": Impersonation.organization_id == bindparam("organization_id", type_=Uuid),
        "living": bindparam("living", type_=Boolean) == LIVING,
    },
)


async def begin_impersonation(platform: Platform, operator: Principal, data: ImpersonationIn) -> ImpersonationMade:
    """A token for somebody's place, which ends with the operator's own session.

    Raises `Forbidden` for writing without the grant for it, and where the organization is suspended; `NotFound` where
    nobody of that id can enter it; and `Conflict` for an operator's place.
    """
    if data.writes and PLATFORM_IMPERSONATE_WRITE.name not in operator.platform:
        raise Forbidden(f"Writing needs {PLATFORM_IMPERSONATE_WRITE.name}", code="operator-needed")
    now = clock.now().replace(microsecond=0)
    row = Impersonation(
        id=new_id(),
        organization_id=data.organization_id,
        operator_id=operator.user_id,
        session_id=operator.session_id,
        user_id=data.user_id,
        reason=data.reason,
        writes=data.writes,
        created_at=now,
        expires_at=now + timedelta(minutes=data.minutes),
    )
    async with platform.database.system() as system:
        await check_no_operator(system, data.user_id)
        is_active = await system.scalar(
            select(Organization.is_active)
            .join(Membership, Membership.organization_id == Organization.id)
            .join(User, User.id == Membership.user_id)
            .where(
                Membership.organization_id == data.organization_id,
                Membership.user_id == data.user_id,
                Membership.is_active,
                User.is_active,
                User.is_deleted.is_(False),
                Organization.is_deleted.is_(False),
            )
        )
        if is_active is None:
            raise NotFound("Nobody of this id can enter this organization")
        check_standing(is_active=is_active)
        system.add(row)
    claims = AccessClaims(
        user_id=row.user_id,
        session_id=row.session_id,
        organization_id=row.organization_id,
        impersonation_id=row.id,
        actor_id=row.operator_id,
    )
    return ImpersonationMade(
        impersonation=_told(row),
        access_token=await platform.identity.impersonation_token(claims, until=row.expires_at),
        expires_in=data.minutes * 60,
    )


async def get_impersonation(platform: Platform, impersonation_id: UUID) -> ImpersonationOut:
    async with platform.database.system() as system:
        row = await system.get(Impersonation, impersonation_id)
    if row is None:
        raise NotFound("There is no such impersonation")
    return _told(row)


async def end_impersonation(platform: Platform, impersonation_id: UUID) -> None:
    """One's own or a colleague's; it counts from the next request on. Raises `NotFound` for one that has ended."""
    async with platform.database.system() as system:
        ended = await system.scalar(
            update(Impersonation)
            .where(Impersonation.id == impersonation_id, LIVING)
            .values(ended_at=clock.now())
            .returning(Impersonation.id)
            .execution_options(synchronize_session=False)
        )
    if ended is None:
        raise NotFound("There is no such impersonation, or it has ended")


def _told(row: Impersonation) -> ImpersonationOut:
    return msgspec.convert(row, ImpersonationOut, from_attributes=True)
