"""Judging an ID token (OpenID Connect Core 3.1.3.7, RFC 8725): who signed it, for whom, when, and for which attempt."""

from datetime import datetime
from typing import Any, cast

import jwt
from msgspec import Struct

from core import clock
from core.identity.oidc.issuer import Issuer

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures by public key alone: with `none` or HS256, anybody who knows our client id could write one."""
SKEW_SECONDS = 60
"""So far the issuer's clock may be from ours."""
LONGEST_TOKEN = 20_000
LONGEST_SUBJECT = 255
"""ASCII characters, by the specification."""
REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nonce"]


class BadIdToken(Exception):
    """It doesn't count; the text says why, for the log."""


class IdClaims(Struct, frozen=True, kw_only=True):
    issuer: str
    subject: str
    verified_email: str | None
    """In small letters; None where it is not all ASCII, or the issuer doesn't say that it has verified it."""


async def read_id_token(issuer: Issuer, token: str, *, nonce: str, started_at: datetime) -> IdClaims:
    """Raises `BadIdToken`, and `Unavailable` where the issuer's keys can't be read."""
    header = _header(token)
    keys = await issuer.keys(header.get("kid"))
    payload = _payload(issuer, token, header["alg"], keys)
    provider = issuer.provider
    if payload["aud"] not in (provider.client_id, [provider.client_id]):
        raise BadIdToken("it is for others too")
    if payload.get("azp", provider.client_id) != provider.client_id:
        raise BadIdToken("it was issued to another client")
    if payload["nonce"] != nonce:
        raise BadIdToken("it is of another attempt")
    if not payload["iat"] >= started_at.timestamp() - SKEW_SECONDS:
        raise BadIdToken("it is older than the attempt")
    subject = payload["sub"]
    if not (0 < len(subject) <= LONGEST_SUBJECT and subject.isascii() and subject.isprintable()):
        raise BadIdToken("its subject is not one")
    return IdClaims(issuer=provider.issuer, subject=subject, verified_email=_verified_email(payload))


def _header(token: str) -> dict[str, Any]:
    if len(token) > LONGEST_TOKEN:
        raise BadIdToken("it is too long")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
        raise BadIdToken("it can't be read") from error
    if not isinstance(header.get("alg"), str) or header["alg"] not in ALGORITHMS:
        raise BadIdToken("its algorithm is not allowed")
    if "crit" in header:
        raise BadIdToken("it demands what we don't know")
    return header


def _payload(issuer: Issuer, token: str, algorithm: str, keys: list[Any]) -> dict[str, Any]:
    """Checked in all that the library checks. Keys come from the issuer alone, never from the token."""
    refused: Exception | None = None
    for key in keys:
        if key.get("alg", algorithm) != algorithm:
            continue
        try:
            payload = jwt.decode(
                token,
                jwt.PyJWK(key, algorithm=algorithm),
                algorithms=[algorithm],
                audience=issuer.provider.client_id,
                issuer=issuer.provider.issuer,
                options={
                    "require": REQUIRED,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            refused = error
            continue
        _check_times(payload)
        return payload
    raise BadIdToken(f"no key of the issuer fits: {type(refused).__name__ if refused else 'unknown'}") from refused


def _check_times(payload: dict[str, Any]) -> None:
    """By our own clock, with some patience for the issuer's. Of what is no number (NaN), no comparison holds."""
    now = clock.now().timestamp()
    for name in ("exp", "iat", "nbf"):
        if isinstance(value := payload.get(name, 0), bool) or not isinstance(value, int | float):
            raise BadIdToken(f"its {name} is no time")
    if not payload["exp"] > now - SKEW_SECONDS:
        raise BadIdToken("it has ended")
    if not all(payload.get(name, 0) <= now + SKEW_SECONDS for name in ("iat", "nbf")):
        raise BadIdToken("it is of the future")


def _verified_email(payload: dict[str, Any]) -> str | None:
    """Only the JSON value true counts: a claim that is missing, or a text, says nothing."""
    email = cast("object", payload.get("email"))
    if payload.get("email_verified") is not True or not isinstance(email, str):
        return None
    return email.lower() if email.isascii() else None  # the small form of some other letters is an ASCII one
