"""What goes in and out of the routes of organizations and people."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from core.identity.credential_schemas import ReplacementPassword
from core.identity.schemas import NewPassword, OpaqueToken, Password, Slug
from core.permissions import Role
from core.text import Email, LongText, OptionalText, Phone, ShortText, Url
from core.time_zones import TIME_ZONES

type TimeZone = Annotated[
    str,
    Meta(
        title="an IANA time zone",
        max_length=64,
        examples=["Europe/London"],
        extra_json_schema={"enum": sorted(TIME_ZONES)},
    ),
]
type Locale = Annotated[
    str,
    Meta(title="a language tag", pattern=r"^[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-[A-Z]{2})?$(?!\n)", examples=["en-GB"]),
]
type Currency = Annotated[str, Meta(title="a currency's three letters", pattern=r"^[A-Z]{3}$(?!\n)", examples=["EUR"])]
type Country = Annotated[
    str, Meta(title="a country's two letters (ISO 3166)", pattern=r"^[A-Z]{2}$(?!\n)", examples=["GB"])
]
type Domain = Annotated[
    str,
    Meta(
        title="a domain name in lower case",
        max_length=253,
        pattern=r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$(?!\n)",
        examples=["acme.example"],
    ),
]
type PermissionName = Annotated[
    str,
    Meta(
        title="a permission's name",
        max_length=100,
        pattern=r"^[a-z][a-z0-9_]*:[a-z][a-z0-9_:.-]*$(?!\n)",
        examples=["teams:write"],
    ),
]


class SlugIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The organization's short name, typed once more so that nothing is deleted by mistake."""

    slug: Slug


class EmailIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    email: Email


class LinkTokenIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The token of a link that was mailed."""

    token: OpaqueToken


class ResetPasswordIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    token: OpaqueToken
    password: ReplacementPassword


class PasswordIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's password once more, so that a session that was left open can't do it."""

    password: Password


class LetterAccepted(Struct, frozen=True, kw_only=True):
    """The same answer whether or not a letter is sent."""

    status: Literal["accepted"] = "accepted"


class SwitchIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    organization: Slug


class OrganizationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    time_zone: TimeZone = "UTC"
    locale: Locale = "en"
    currency: Currency = "EUR"
    country: Country | None = None
    """Where phone numbers without a country code are at home."""


class OrganizationSettingsPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Only what is sent is changed."""

    time_zone: TimeZone | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    country: Country | None | UnsetType = UNSET


class OrganizationIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ShortText
    slug: Slug


class OrganizationPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: only what is sent is changed, and null empties what may be empty."""

    name: ShortText | UnsetType = UNSET
    domain: Domain | None | UnsetType = UNSET
    settings: OrganizationSettingsPatch | UnsetType = UNSET


class OrganizationDetails(Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    slug: str
    domain: str | None
    subscription_plan: str
    settings: OrganizationSettings
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class DeletionOut(Struct, frozen=True, kw_only=True):
    deletes_at: datetime
    """Until then the link that was mailed to the owners brings the organization back."""


class QuotaOut(Struct, frozen=True, kw_only=True):
    limit: int | None
    """Null where there is none."""
    used: int


class PlanOut(Struct, frozen=True, kw_only=True):
    name: str
    members: QuotaOut
    """Active members and pending invitations."""
    contacts: int | None
    """How many the plan allows; null where there is no limit."""
    imports_per_day: int | None


class MyOrganization(Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    slug: str
    role: Role


class ProfilePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: only what is sent is changed, and null empties what may be empty."""

    first_name: ShortText | UnsetType = UNSET
    last_name: OptionalText | UnsetType = UNSET
    phone: Phone | None | UnsetType = UNSET
    bio: LongText | None | UnsetType = UNSET
    avatar_url: Url | None | UnsetType = UNSET
    job_title: OptionalText | None | UnsetType = UNSET
    company: OptionalText | None | UnsetType = UNSET
    linkedin_url: Url | None | UnsetType = UNSET


class ProfileOut(Struct, frozen=True, kw_only=True):
    id: UUID
    email: str
    is_verified: bool
    first_name: str
    last_name: str
    phone: str | None
    bio: str | None
    avatar_url: str | None
    job_title: str | None
    company: str | None
    linkedin_url: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class MemberPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    role: Role | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class MemberOut(Struct, frozen=True, kw_only=True):
    id: UUID
    user_id: UUID
    email: str
    first_name: str
    last_name: str
    avatar_url: str | None
    job_title: str | None
    is_verified: bool
    role: Role
    is_active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class TeamIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ShortText
    description: LongText | None = None


class TeamPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ShortText | UnsetType = UNSET
    description: LongText | None | UnsetType = UNSET


class TeamOut(Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    description: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    is_deleted: bool
    deleted_at: datetime | None


class TeamMemberOut(Struct, frozen=True, kw_only=True):
    id: UUID
    user_id: UUID
    email: str
    first_name: str
    last_name: str
    created_at: datetime


class InvitationIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    email: Email
    role: Role = Role.MEMBER
    team_ids: Annotated[list[UUID], Meta(max_length=20)] = []


type InvitationState = Literal["pending", "accepted", "revoked", "expired"]


class InvitationOut(Struct, frozen=True, kw_only=True):
    id: UUID
    email: str
    role: Role
    team_ids: list[UUID]
    state: InvitationState
    invited_by: UUID | None
    sent_at: datetime
    expires_at: datetime
    accepted_at: datetime | None
    accepted_by: UUID | None
    revoked_at: datetime | None
    version: int
    created_at: datetime


class InvitedPersonIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new person who joins by an invitation. Their address is the invited one."""

    token: OpaqueToken
    password: NewPassword
    first_name: ShortText
    last_name: ShortText


class PermissionOut(Struct, frozen=True, kw_only=True):
    name: str
    title: str
    roles: list[Role]
    """The system roles that hold it."""


class RoleIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ShortText
    description: LongText | None = None
    permissions: Annotated[list[PermissionName], Meta(max_length=200)]


class RolePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ShortText | UnsetType = UNSET
    description: LongText | None | UnsetType = UNSET
    permissions: Annotated[list[PermissionName], Meta(max_length=200)] | UnsetType = UNSET


class RoleOut(Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    description: str | None
    permissions: list[str]
    version: int
    created_at: datetime
    updated_at: datetime
    is_deleted: bool
    deleted_at: datetime | None


class GrantIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user_id: UUID
    role_id: UUID
    team_id: UUID | None = None
    """The team for whose things it holds; everywhere where absent."""


class GrantOut(Struct, frozen=True, kw_only=True):
    id: UUID
    user_id: UUID
    role_id: UUID
    team_id: UUID | None
    granted_by: UUID | None
    created_at: datetime
