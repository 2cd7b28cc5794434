"""Links that are mailed to people: tokens that work once.

A token is derived from its id, so the job that mails it needs to know the id alone: neither the outbox nor any other
table ever holds a token, only its hash.
"""

import base64
import hashlib
import hmac
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class Purpose(StrEnum):
    VERIFY_EMAIL = "verify-email"
    RESET_PASSWORD = "reset-password"  # noqa: S105
    RESTORE_ORGANIZATION = "restore-organization"
    INVITATION = "invitation"


LIFETIMES = {
    Purpose.VERIFY_EMAIL: timedelta(days=3),
    Purpose.RESET_PASSWORD: timedelta(hours=1),
    Purpose.RESTORE_ORGANIZATION: timedelta(days=30),
    Purpose.INVITATION: timedelta(days=7),
}
PREFIX = "plugs_ot_"


class Links(Struct, frozen=True, kw_only=True):
    secret: str
    public_url: str

    def token(self, purpose: Purpose, token_id: UUID) -> str:
        key = hashlib.blake2b(b"one-time-token", key=hashlib.sha256(self.secret.encode()).digest(), digest_size=32)
        mac = hmac.digest(key.digest(), purpose.encode() + token_id.bytes, "sha256")
        return PREFIX + base64.urlsafe_b64encode(mac).decode().rstrip("=")

    def hash(self, purpose: Purpose, token_id: UUID) -> bytes:
        """What is stored of the token."""
        return hash_token(self.token(purpose, token_id))

    def url(self, purpose: Purpose, token_id: UUID) -> str:
        """The token stands behind the #, which browsers send to no server: it reaches no log."""
        return f"{self.public_url.rstrip('/')}/{purpose}#token={self.token(purpose, token_id)}"


def hash_token(token: str) -> bytes:
    """The token has 256 bits that nobody can guess, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).digest()
