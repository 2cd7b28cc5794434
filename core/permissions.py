"""Roles and permissions. Modules declare permissions; a role holds those whose `least` it reaches."""

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


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
