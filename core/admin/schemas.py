"""What goes in and out of the operators' routes."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from core.identity.plans import PLANS
from core.identity.schemas import Slug
from core.permissions import Role
from core.text import NO_NUL, NO_NUL_TITLE, Email, ShortText

type PlanName = Annotated[
    str,
    Meta(
        title=f"one of {', '.join(PLANS)}",
        pattern=rf"^(?:{'|'.join(PLANS)})$(?!\n)",
        examples=["team"],
        extra_json_schema={"enum": list(PLANS)},
    ),
]
type Reason = Annotated[
    str,
    Meta(title=NO_NUL_TITLE, min_length=1, max_length=500, pattern=NO_NUL, examples=["Ticket 4711: the list is empty"]),
]
type TenantState = Literal["active", "suspended", "deleted", "purged"]


class TenantOut(Struct, frozen=True, kw_only=True):
    """An organization, as operators see it."""

    id: UUID
    name: str
    slug: str
    domain: str | None
    subscription_plan: str
    state: TenantState
    members: int
    """Active ones."""
    suspended_at: datetime | None
    suspended_reason: str | None
    deleted_at: datetime | None
    deletes_at: datetime | None
    """When the grace of a deleted one ends: what is in it is purged then."""
    purged_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class TenantIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new organization. Its owner is invited, and may be somebody who has an account or somebody new."""

    name: ShortText
    slug: Slug
    owner_email: Email
    subscription_plan: PlanName = "free"


class TenantPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    subscription_plan: PlanName


class SuspensionIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: Reason
    """For other operators, and in the organization's own audit trail."""


class PersonOut(Struct, frozen=True, kw_only=True):
    """A person, as operators see them."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    is_active: bool
    is_verified: bool
    has_second_factor: bool
    is_operator: bool
    last_login: datetime | None
    created_at: datetime


class PlaceOut(Struct, frozen=True, kw_only=True):
    """An organization that a person belongs to."""

    organization_id: UUID
    name: str
    slug: str
    role: Role
    is_active: bool
    """Whether their membership is."""


class PersonDetails(PersonOut, frozen=True, kw_only=True):
    organizations: list[PlaceOut]


class PersonSessionOut(Struct, frozen=True, kw_only=True):
    """A sign-in of somebody."""

    id: UUID
    user_id: UUID
    email: str
    organization_id: UUID
    living: bool
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_reason: str | None
    address: str | None
    user_agent: str | None


class ImpersonationIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user_id: UUID
    organization_id: UUID
    reason: Reason
    """It is in the organization's own audit trail."""
    minutes: Annotated[int, Meta(ge=1, le=60)] = 15
    writes: bool = False
    """Needs the permission `platform:impersonate_write`."""


class ImpersonationOut(Struct, frozen=True, kw_only=True):
    id: UUID
    operator_id: UUID
    user_id: UUID
    organization_id: UUID
    reason: str
    writes: bool
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class ImpersonationMade(Struct, frozen=True, kw_only=True):
    impersonation: ImpersonationOut
    access_token: str
    """Shown this once. There is no refresh token: it ends with the impersonation."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    """Seconds."""
