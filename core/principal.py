"""Who is acting: the answer of authentication, and the only source of the tenant of a request or a job."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from msgspec import Struct


class PrincipalKind(StrEnum):
    USER = "user"
    API_KEY = "api-key"
    """A program; `user_id` names the person whose key it holds."""
    JOB = "job"
    """A background job; `user_id` names the person whose action caused it, where there is one."""
    OPERATOR = "operator"
    """The command line, on the server itself."""


NOTHING: Mapping[UUID, frozenset[str]] = MappingProxyType({})


class Principal(Struct, frozen=True, kw_only=True):
    kind: PrincipalKind
    organization_id: UUID
    user_id: UUID | None = None
    session_id: UUID | None = None
    api_key_id: UUID | None = None
    impersonator_id: UUID | None = None
    """The operator who acts in this person's place."""
    read_only: bool = False
    """Whether only safe methods are for them."""
    role: str = ""
    permissions: frozenset[str] = frozenset()
    valid_until: datetime | None = None
    """When the credential that it comes from ends at the latest; None where that has no end."""
    team_permissions: Mapping[UUID, frozenset[str]] = NOTHING
    """What they may do beyond that with what belongs to a team. `core.permissions.is_allowed` weighs both."""
    teams: frozenset[UUID] = frozenset()
    """The teams that they are in."""
    platform: frozenset[str] = frozenset()
    """What they may do across organizations, as an operator."""
