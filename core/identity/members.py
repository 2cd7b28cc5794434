"""Members: who belongs to the organization, as what.

Nobody touches a member above their own role, or lifts one above it, and an organization keeps an active owner. Both are
judged under a lock on the organization, so that they hold however many change it at once.
"""

from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy import bindparam, select

from core.db.pages import ListQuery
from core.errors import Forbidden, NotFound
from core.http.conditions import check_if_match
from core.identity.models import Membership, User
from core.identity.organization_schemas import MemberOut, MemberPatch
from core.identity.people import keep_an_owner, lock_organization
from core.identity.permissions import rank_of
from core.identity.plans import check_room_for_member
from core.permissions import Role
from core.tasks.context import Ctx

COLUMNS = (
    Membership.id,
    Membership.user_id,
    User.email,
    User.first_name,
    User.last_name,
    User.avatar_url,
    User.job_title,
    User.is_verified,
    Membership.role,
    Membership.is_active,
    Membership.version,
    Membership.created_at,
    Membership.updated_at,
)
MEMBERS = ListQuery(
    Membership,
    columns=COLUMNS,
    where=[User.id == Membership.user_id],
    filters={
        "role": Membership.role == bindparam("role"),
        "is_active": Membership.is_active == bindparam("is_active"),
    },
    sorts={
        "created_at": Membership.created_at,
        "email": User.email,
        "first_name": User.first_name,
        "last_name": User.last_name,
    },
)


async def get_member(ctx: Ctx, user_id: UUID) -> MemberOut:
    found = (
        await ctx.db.execute(
            select(*COLUMNS).where(
                User.id == Membership.user_id,
                Membership.organization_id == ctx.organization_id,
                Membership.user_id == user_id,
            )
        )
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such member")
    return msgspec.convert(found, MemberOut, from_attributes=True)


async def find_membership(ctx: Ctx, user_id: UUID) -> Membership:
    member = await ctx.db.scalar(
        select(Membership)
        .where(Membership.organization_id == ctx.organization_id, Membership.user_id == user_id)
        .execution_options(populate_existing=True)
    )
    if member is None:
        raise NotFound("There is no such member")
    return member


async def check_rank(ctx: Ctx, *roles: str) -> None:
    """Raises `Forbidden` where one of the roles is above that of whoever acts, as it is at this moment."""
    own = await ctx.db.scalar(
        select(Membership.role).where(
            Membership.organization_id == ctx.organization_id,
            Membership.user_id == ctx.user_id,
            Membership.is_active,
        )
    )
    if own is None or any(rank_of(role) > rank_of(own) for role in roles):
        raise Forbidden("This is for somebody of a higher role", code="beyond-own-role")


async def change_member(ctx: Ctx, user_id: UUID, data: MemberPatch, *, if_match: str | None) -> MemberOut:
    """Raises `PreconditionFailed` where the member changed since the client read them."""
    await lock_organization(ctx.db, ctx.organization_id)
    member = await find_membership(ctx, user_id)
    check_if_match(if_match, member.version)
    role = member.role if data.role is UNSET else data.role.value
    is_active = member.is_active if data.is_active is UNSET else data.is_active
    await check_rank(ctx, member.role, role)
    if _is_owner(member) and not (role == Role.OWNER.value and is_active):
        await keep_an_owner(ctx.db, ctx.organization_id, without=user_id)
    if is_active and not member.is_active:
        await check_room_for_member(ctx.db, ctx.organization_id)
    member.role, member.is_active = role, is_active
    await ctx.db.flush()
    return await get_member(ctx, user_id)


async def remove_member(ctx: Ctx, user_id: UUID, *, if_match: str | None) -> None:
    """Their teams and grants go with them; what they made stays."""
    await lock_organization(ctx.db, ctx.organization_id)
    member = await find_membership(ctx, user_id)
    check_if_match(if_match, member.version)
    await check_rank(ctx, member.role)
    await _remove(ctx, member)


async def leave_organization(ctx: Ctx) -> None:
    if ctx.user_id is None:
        raise Forbidden("Only a person can leave")
    await lock_organization(ctx.db, ctx.organization_id)
    await _remove(ctx, await find_membership(ctx, ctx.user_id))


async def _remove(ctx: Ctx, member: Membership) -> None:
    if _is_owner(member):
        await keep_an_owner(ctx.db, ctx.organization_id, without=member.user_id)
    await ctx.db.delete(member)
    await ctx.db.flush()


def _is_owner(member: Membership) -> bool:
    return member.role == Role.OWNER.value and member.is_active
