"""Roles and permissions. Modules declare permissions; a role holds those whose `least` it reaches.

Whether somebody may do something is decided in one place, `is_allowed`: guards and services both ask it.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from core.errors import Forbidden


class Role(StrEnum):
    """The system roles, weakest first."""

    VIEWER = "viewer"
    MEMBER = "member"
    MANAGER = "manager"
    ADMIN = "admin"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        return list(Role).index(self)


class Permission(Struct, frozen=True):
    """`Permission("rsvp:read", "See answers")`.

    Unless `least` says otherwise, viewers may `:read`, members may `:write`, and all else is for admins.
    """

    name: str
    title: str
    least: Role | None = None

    @property
    def least_role(self) -> Role:
        if self.least is not None:
            return self.least
        match self.name.rpartition(":")[2]:
            case "read":
                return Role.VIEWER
            case "write":
                return Role.MEMBER
            case _:
                return Role.ADMIN


def permissions_by_role(permissions: Iterable[Permission]) -> dict[str, frozenset[str]]:
    """What each system role may do, given all declared permissions."""
    declared = list(permissions)
    return {role.value: frozenset(p.name for p in declared if p.least_role.rank <= role.rank) for role in Role}


class Holder(Protocol):
    """Who holds permissions: a `Principal`."""

    @property
    def permissions(self) -> frozenset[str]: ...
    @property
    def team_permissions(self) -> Mapping[UUID, frozenset[str]]: ...


def is_allowed(holder: Holder, permission: str, *, team_id: UUID | None = None) -> bool:
    """Whether they hold the permission everywhere, or for what belongs to this team."""
    if permission in holder.permissions:
        return True
    return team_id is not None and permission in holder.team_permissions.get(team_id, frozenset())


def authorize(holder: Holder, permission: Permission, *, team_id: UUID | None = None) -> None:
    """Raises `Forbidden` where it is not allowed."""
    if not is_allowed(holder, permission.name, team_id=team_id):
        raise Forbidden(f"This needs the permission {permission.name}")
