"""Who operates the platform: granted on the server alone, and good for sessions with a second factor.

An operator reaches every organization, so a password that leaked must not be enough. Nor may whoever has it add a
factor of their own: a factor counts if it was there when the grant was made. Whoever changes theirs is granted anew.
The local default, where there is nobody to guard against, asks for none of this.
"""

from uuid import UUID

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, delete, select, true
from sqlalchemy.dialects.postgresql import insert as upsert

from core import clock
from core.db.database import Database
from core.errors import Conflict, NotFound
from core.identity.credential_models import TotpFactor
from core.identity.models import Session, User
from core.identity.operator_models import Operator
from core.permissions import Permission

PLATFORM_READ = Permission("platform:read", "See organizations, people and sessions")
PLATFORM_WRITE = Permission("platform:write", "Change organizations, people, sessions and modules")
PLATFORM_IMPERSONATE = Permission("platform:impersonate", "See what a person sees, in their place")
PLATFORM_IMPERSONATE_WRITE = Permission("platform:impersonate_write", "Change things in a person's place")
"""None of these is among the permissions that roles hold: an owner of an organization has none of them."""
EVERY_OPERATOR = frozenset({PLATFORM_READ.name, PLATFORM_WRITE.name, PLATFORM_IMPERSONATE.name})


class GrantedOperator(Struct, frozen=True, kw_only=True):
    email: str
    impersonates_writing: bool
    has_second_factor: bool
    """One that counts."""


def is_proven(*, needs_second_factor: bool) -> ColumnElement[bool]:
    """Whether this `Session` of this `Operator` is good for the platform."""
    if not needs_second_factor:
        return true()
    return and_(Session.second_factor_at.is_not(None), _has_factor())


def _has_factor() -> ColumnElement[bool]:
    return (
        select(TotpFactor.user_id)
        .where(TotpFactor.user_id == Operator.user_id, TotpFactor.confirmed_at <= Operator.created_at)
        .correlate(Operator)
        .exists()
    )


def platform_permissions(impersonates_writing: bool | None) -> frozenset[str]:
    """Of an operator; None stands for everybody else."""
    if impersonates_writing is None:
        return frozenset()
    return EVERY_OPERATOR | {PLATFORM_IMPERSONATE_WRITE.name} if impersonates_writing else EVERY_OPERATOR


async def grant_operator(database: Database, email: str, *, writing: bool, needs_second_factor: bool) -> None:
    """Make a person an operator, or renew and change what they were granted. `writing` is for impersonation.

    Raises `NotFound` where nobody active has the address, and `Conflict` where they have no second factor yet.
    """
    async with database.system() as system:
        user_id = await system.scalar(
            select(User.id).where(User.email == email.lower(), User.is_active, User.is_deleted.is_(False))
        )
        if user_id is None:
            raise NotFound(f"Nobody signs in as {email}")
        confirmed = await system.scalar(
            select(TotpFactor.user_id).where(TotpFactor.user_id == user_id, TotpFactor.confirmed_at.is_not(None))
        )
        if needs_second_factor and confirmed is None:
            raise Conflict(f"{email} has no second factor: an operator needs one first", code="mfa-needed")
        values = {"impersonates_writing": writing, "created_at": clock.now()}
        await system.execute(
            upsert(Operator)
            .values(user_id=user_id, **values)
            .on_conflict_do_update(index_elements=["user_id"], set_=values)
        )


async def withdraw_operator(database: Database, email: str) -> None:
    """It counts from their next request on. Raises `NotFound` for somebody who is none."""
    async with database.system() as system:
        user = select(User.id).where(User.email == email.lower()).scalar_subquery()
        gone = await system.scalar(delete(Operator).where(Operator.user_id == user).returning(Operator.user_id))
        if gone is None:
            raise NotFound(f"{email} is no operator")


async def list_operators(database: Database) -> list[GrantedOperator]:
    async with database.system() as system:
        found = await system.execute(
            select(User.email, Operator.impersonates_writing, _has_factor().label("has_second_factor"))
            .join(User, User.id == Operator.user_id)
            .order_by(User.email)
        )
        return [
            GrantedOperator(
                email=row.email, impersonates_writing=row.impersonates_writing, has_second_factor=row.has_second_factor
            )
            for row in found
        ]


async def is_operator(database: Database, user_id: UUID) -> bool:
    async with database.system() as system:
        return await system.get(Operator, user_id) is not None
