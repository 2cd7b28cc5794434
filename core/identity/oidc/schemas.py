"""What goes in and out of the routes of signing in with an issuer."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from core.identity.schemas import OpaqueToken, Password, RecoveryCodeText, Slug, TotpCode

type Printable = Annotated[
    str,
    Meta(
        title="what the issuer sent, unchanged",
        min_length=1,
        max_length=4096,
        pattern=r"^[!-~]+$(?!\n)",
        examples=["4/0AfgeXvs"],
    ),
]


class OidcProviderOut(Struct, frozen=True, kw_only=True):
    name: str
    title: str
    """For the button."""


class OidcProvidersOut(Struct, frozen=True, kw_only=True):
    items: list[OidcProviderOut]


class OidcStartIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    organization: Slug | None = None
    """Which organization to enter; the person's own where absent."""


class OidcLinkIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    password: Password


class OidcIdentityOut(Struct, frozen=True, kw_only=True):
    """A service with which this person can sign in."""

    id: UUID
    issuer: str
    created_at: datetime
    last_used_at: datetime


class OidcStarted(Struct, frozen=True, kw_only=True):
    authorization_url: str
    """Where to send the browser."""
    browser_secret: str
    """To be kept where only this browser's session has it, and sent with the callback."""
    expires_in: int
    """Seconds until the attempt ends."""


class OidcCallbackIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the issuer sent the browser back with, and the secret that the attempt began with."""

    code: Printable
    state: OpaqueToken
    browser_secret: OpaqueToken
    iss: Printable | None = None
    """Where the issuer sent it (RFC 9207), it is to be passed on."""


class OidcSecondFactorIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After a callback that was answered with `mfa-required`."""

    state: OpaqueToken
    browser_secret: OpaqueToken
    totp_code: TotpCode | None = None
    recovery_code: RecoveryCodeText | None = None
