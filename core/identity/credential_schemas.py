"""What goes in and out of the routes of sessions, second factors, passwords and API keys."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from core.identity.passwords import MAX_LENGTH, MIN_LENGTH_WITH_MFA
from core.identity.schemas import Password, RecoveryCodeText, TotpCode
from core.text import NO_NUL, NO_NUL_TITLE, Moment, ShortText

type ReplacementPassword = Annotated[
    str,
    Meta(
        title=NO_NUL_TITLE,
        min_length=MIN_LENGTH_WITH_MFA,
        max_length=MAX_LENGTH,
        pattern=NO_NUL,
        description="At least 15 characters; 8 for whoever has a second factor",
        examples=["correct-horse-battery"],
    ),
]
type Scope = Annotated[
    str,
    Meta(
        title="the name of a permission",
        max_length=100,
        pattern=r"^[a-z][a-z0-9_]*(:[a-z][a-z0-9_-]*)+$(?!\n)",
        examples=["networking:read"],
    ),
]


class SessionOut(Struct, frozen=True, kw_only=True):
    """One sign-in of this person."""

    id: UUID
    current: bool
    """Whether it is the one that asks."""
    created_at: datetime
    last_used_at: datetime
    """To within a minute."""
    expires_at: datetime
    address: str | None
    user_agent: str | None


class SessionsEnded(Struct, frozen=True, kw_only=True):
    ended: int


class PasswordChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    current_password: Password
    new_password: ReplacementPassword


class MfaOut(Struct, frozen=True, kw_only=True):
    totp: bool
    """Whether signing in asks for a code."""
    recovery_codes_left: int


class TotpEnrolIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    password: Password


class TotpEnrolOut(Struct, frozen=True, kw_only=True):
    """Shown this once."""

    secret: str
    """For typing it in, in Base32."""
    otpauth_uri: str
    """For a QR code."""


class TotpConfirmIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    code: TotpCode


class MfaProof(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password, and a code of the app or a recovery code."""

    password: Password
    totp_code: TotpCode | None = None
    recovery_code: RecoveryCodeText | None = None


class RecoveryCodesOut(Struct, frozen=True, kw_only=True):
    """Shown this once; each works once."""

    recovery_codes: list[str]


class ApiKeyIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ShortText
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=200)]
    """Names of permissions that one holds oneself."""
    expires_at: Moment | None = None


class ApiKeyRotateIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    old_works_until: Moment | None = None
    """How long the old key goes on working: a day where absent, 30 days at most, and no longer than it would have."""


class ApiKeyOut(Struct, frozen=True, kw_only=True):
    """A key, but for the key itself."""

    id: UUID
    user_id: UUID
    """Who made it."""
    name: str
    hint: str
    """Its first characters."""
    scopes: list[str]
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To within a minute."""
    created_at: datetime
    version: int


class ApiKeyMade(Struct, frozen=True, kw_only=True):
    api_key: ApiKeyOut
    key: str
    """Shown this once. It is sent as `Authorization: Bearer …`."""
