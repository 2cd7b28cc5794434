"""Time-based one-time passwords (RFC 6238, RFC 4226), as authenticator apps make them: SHA-1, 6 digits, 30 seconds."""

import base64
import hmac
import secrets
from datetime import datetime
from urllib.parse import quote, urlencode

STEP_SECONDS = 30
DIGITS = 6
SEED_BYTES = 20
"""RFC 4226, section 4: 160 bits."""
DRIFT = 1
"""Steps that a clock may be early or late."""
ISSUER = "The Plugs"


def new_seed() -> bytes:
    return secrets.token_bytes(SEED_BYTES)


def step_at(moment: datetime) -> int:
    return int(moment.timestamp()) // STEP_SECONDS


def code_at(seed: bytes, step: int) -> str:
    mac = hmac.digest(seed, step.to_bytes(8), "sha1")
    offset = mac[-1] & 0x0F
    number = int.from_bytes(mac[offset : offset + 4]) & 0x7FFF_FFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def matching_step(seed: bytes, code: str, *, now: datetime) -> int | None:
    """The time step that this code is of, or None where it is of none near now."""
    current = step_at(now)
    found: int | None = None
    for step in range(current - DRIFT, current + DRIFT + 1):
        if hmac.compare_digest(code_at(seed, step).encode(), code.encode()):
            found = step
    return found


def secret_of(seed: bytes) -> str:
    """As people type it into an app."""
    return base64.b32encode(seed).decode()


def otpauth_uri(seed: bytes, *, account: str) -> str:
    """What the QR code holds."""
    label = quote(f"{ISSUER}:{account}")
    return f"otpauth://totp/{label}?{urlencode({'secret': secret_of(seed), 'issuer': ISSUER}, quote_via=quote)}"
