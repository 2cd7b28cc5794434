"""Who is acting: the answer of authentication, and the only source of the tenant of a request or a job."""

from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class PrincipalKind(StrEnum):
    USER = "user"
    JOB = "job"
    """A background job; `user_id` names the person whose action caused it, where there is one."""
    OPERATOR = "operator"
    """The command line, on the server itself."""


class Principal(Struct, frozen=True, kw_only=True):
    kind: PrincipalKind
    organization_id: UUID
    user_id: UUID | None = None
    session_id: UUID | None = None
    role: str = ""
    permissions: frozenset[str] = frozenset()

    def may(self, permission: str) -> bool:
        return permission in self.permissions
