"""Custom roles, and who holds them: everywhere, or for what belongs to one team.

Whoever makes, changes, deletes or grants a role holds all of its permissions themselves, so nobody reaches beyond what
they have; and nobody changes what somebody of a higher system role holds.
"""

from collections.abc import Iterable
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from core.db.pages import ListQuery
from core.errors import Conflict, Forbidden, NotFound
from core.http.conditions import check_if_match
from core.identity.members import check_rank, find_membership
from core.identity.organization_models import CustomRole, RoleGrant, Team
from core.identity.organization_schemas import GrantIn, GrantOut, PermissionOut, RoleIn, RoleOut, RolePatch
from core.identity.permissions import beyond
from core.identity.rows import delete_row, find_living, restore_row
from core.ids import new_id
from core.permissions import Permission, Role
from core.tasks.context import Ctx

COLUMNS = tuple(getattr(CustomRole, name) for name in RoleOut.__struct_fields__)
SORTS = {"name": CustomRole.name, "created_at": CustomRole.created_at}
ROLES = ListQuery(CustomRole, columns=COLUMNS, where=[~CustomRole.is_deleted], sorts=SORTS, default_sort="name")
DELETED_ROLES = ListQuery(CustomRole, columns=COLUMNS, where=[CustomRole.is_deleted], sorts=SORTS, default_sort="name")
GRANTS = ListQuery(
    RoleGrant,
    columns=tuple(getattr(RoleGrant, name) for name in GrantOut.__struct_fields__),
    filters={
        "user_id": RoleGrant.user_id == bindparam("user_id"),
        "role_id": RoleGrant.role_id == bindparam("role_id"),
        "team_id": RoleGrant.team_id == bindparam("team_id"),
    },
    sorts={"created_at": RoleGrant.created_at},
)


def role_out(role: CustomRole) -> RoleOut:
    return msgspec.convert(role, RoleOut, from_attributes=True)


def grant_out(grant: RoleGrant) -> GrantOut:
    return msgspec.convert(grant, GrantOut, from_attributes=True)


def describe_permissions(declared: Iterable[Permission]) -> list[PermissionOut]:
    """By name."""
    return [
        PermissionOut(
            name=permission.name,
            title=permission.title,
            roles=[role for role in Role if permission.least_role.rank <= role.rank],
        )
        for permission in sorted(declared, key=lambda permission: permission.name)
    ]


def check_own(ctx: Ctx, wanted: Iterable[str]) -> None:
    """Raises `Forbidden` for a permission that one doesn't hold, be it that there is none of the name."""
    if missing := beyond(ctx.principal.permissions, wanted):
        raise Forbidden(f"You don't hold {', '.join(missing[:5])}", code="beyond-own-role")


async def create_role(ctx: Ctx, data: RoleIn) -> CustomRole:
    check_own(ctx, data.permissions)
    role = CustomRole(name=data.name, description=data.description, permissions=sorted(set(data.permissions)))
    ctx.db.add(role)
    await ctx.db.flush()
    return role


async def update_role(ctx: Ctx, role_id: UUID, data: RolePatch, *, if_match: str | None) -> CustomRole:
    """Raises `PreconditionFailed` where the role changed since the client read it."""
    role = await find_living(ctx, CustomRole, role_id)
    check_if_match(if_match, role.version)
    check_own(ctx, role.permissions)
    for name, value in msgspec.structs.asdict(data).items():
        if value is not UNSET:
            setattr(role, name, value)
    if data.permissions is not UNSET:
        check_own(ctx, data.permissions)
        role.permissions = sorted(set(data.permissions))
    await ctx.db.flush()
    return role


async def delete_role(ctx: Ctx, role_id: UUID, *, if_match: str | None) -> None:
    role = await find_living(ctx, CustomRole, role_id)
    check_own(ctx, role.permissions)
    await delete_row(ctx, role, if_match=if_match)


async def restore_role(ctx: Ctx, role_id: UUID) -> CustomRole:
    role = await restore_row(ctx, CustomRole, role_id)
    check_own(ctx, role.permissions)
    return role


async def grant_role(ctx: Ctx, data: GrantIn) -> RoleGrant:
    """Raises `Conflict` where they hold it there already."""
    member = await find_membership(ctx, data.user_id)
    role = await find_living(ctx, CustomRole, data.role_id)
    if data.team_id is not None:
        await find_living(ctx, Team, data.team_id)
    check_own(ctx, role.permissions)
    await check_rank(ctx, member.role)
    grant = await ctx.db.scalar(
        insert(RoleGrant)
        .values(
            organization_id=ctx.organization_id,
            id=new_id(),
            user_id=member.user_id,
            role_id=role.id,
            team_id=data.team_id,
            granted_by=ctx.user_id,
        )
        .on_conflict_do_nothing()
        .returning(RoleGrant)
    )
    if grant is None:
        raise Conflict("They hold this role already", code="already-granted")
    return grant


async def withdraw_grant(ctx: Ctx, grant_id: UUID) -> None:
    found = (
        await ctx.db.execute(
            select(RoleGrant, CustomRole)
            .join(
                CustomRole,
                (CustomRole.organization_id == RoleGrant.organization_id) & (CustomRole.id == RoleGrant.role_id),
            )
            .where(RoleGrant.organization_id == ctx.organization_id, RoleGrant.id == grant_id)
        )
    ).one_or_none()
    if found is None:
        raise NotFound("There is no such grant")
    grant, role = found
    check_own(ctx, role.permissions)
    await check_rank(ctx, (await find_membership(ctx, grant.user_id)).role)
    await ctx.db.delete(grant)
    await ctx.db.flush()
