"""What goes in and out of the identity routes."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from core.identity.passwords import MAX_LENGTH, MIN_LENGTH
from core.text import NO_NUL, NO_NUL_TITLE, Email, ShortText

type Slug = Annotated[
    str,
    Meta(
        title="lower-case letters, digits and inner hyphens, at most 50",
        pattern=r"^[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?$(?!\n)",
        examples=["acme"],
    ),
]
type NewPassword = Annotated[
    str,
    Meta(
        title=NO_NUL_TITLE,
        min_length=MIN_LENGTH,
        max_length=MAX_LENGTH,
        pattern=NO_NUL,
        examples=["correct-horse-battery"],
    ),
]
type Password = Annotated[
    str,
    Meta(
        title=NO_NUL_TITLE,
        min_length=1,
        max_length=MAX_LENGTH,
        pattern=NO_NUL,
        examples=["correct-horse-battery"],
    ),
]
type OpaqueToken = Annotated[
    str,
    Meta(
        title="a token, unchanged",
        min_length=1,
        max_length=512,
        pattern=r"^[!-~]+$(?!\n)",
        examples=["plugs_rt_0a1b2c"],
    ),
]

type TotpCode = Annotated[str, Meta(title="six digits", pattern=r"^[0-9]{6}$(?!\n)", examples=["492039"])]
type RecoveryCodeText = Annotated[
    str,
    Meta(
        title="a recovery code",
        max_length=64,
        pattern=r"^[A-Za-z0-9 -]{25,64}$(?!\n)",
        examples=["k3v9d-2mxpq-7hwcz-n5t4e-rj8ya"],
    ),
]


class RegisterIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new person and their new organization."""

    email: Email
    password: NewPassword
    first_name: ShortText
    last_name: ShortText
    organization_name: ShortText
    organization_slug: Slug


class RegisterAccepted(Struct, frozen=True, kw_only=True):
    """The same answer whether or not the address or the short name was free."""

    status: Literal["accepted"] = "accepted"


class LoginIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    email: Email
    password: Password
    organization: Slug | None = None
    """Which organization to enter, for members of several; the person's own where absent."""
    totp_code: TotpCode | None = None
    """Of the authenticator app, for whoever has turned it on; without it they get the code `mfa-required`."""
    recovery_code: RecoveryCodeText | None = None
    """In place of `totp_code`, once."""


class RefreshIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    refresh_token: OpaqueToken


class TokenPair(Struct, frozen=True, kw_only=True):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    """Seconds until the access token ends."""
    refresh_token: str


class OrganizationOut(Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    slug: str
    subscription_plan: str


class Me(Struct, frozen=True, kw_only=True):
    """The signed-in person, in the organization they entered."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    is_verified: bool
    created_at: datetime
    organization: OrganizationOut
    role: str
    permissions: list[str]
