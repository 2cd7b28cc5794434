"""Tokens: short signed access tokens, and refresh tokens that rotate.

A refresh token's successor is derived from it, so a client that sends one twice within the grace (a double click, a
lost answer) gets the same successor both times, without any token being stored.
"""

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from msgspec import Struct

from core import clock
from core.errors import Unauthenticated
from core.identity.signing_keys import SigningKeys

ALGORITHM = "EdDSA"
TYPE = "at+jwt"
"""RFC 9068: an access token says that it is one, so no other token passes for it."""
HEADER = {"alg", "typ", "kid"}
"""A token of ours has these in its header and no more: no key, and no address of one, is ever taken from a token."""
ISSUER = "the-plugs"
AUDIENCE = "the-plugs-api"
REFRESH_PREFIX = "plugs_rt_"
REFRESH_BYTES = 32
VERIFIED = 4096
"""Access tokens whose signature is known to be right; checking it again would take longer than all the rest."""


class AccessClaims(Struct, frozen=True, kw_only=True):
    user_id: UUID
    session_id: UUID
    organization_id: UUID
    impersonation_id: UUID | None = None
    actor_id: UUID | None = None
    """The operator behind an impersonation; the session is theirs then."""
    ends_at: datetime | None = None
    """Of a token that was read."""


class _Verified(Struct, frozen=True):
    claims: AccessClaims
    ends_at: float


class TokenSigner:
    def __init__(self, keys: SigningKeys, secret: str, *, access_seconds: float) -> None:
        self.keys = keys
        self.access_seconds = access_seconds
        self._refresh_key = derive(secret, b"refresh-token")
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    async def issue_access(self, claims: AccessClaims, *, until: datetime | None = None) -> str:
        """For `access_seconds`, or until a moment."""
        signer, now = await self.keys.signer(), clock.now()
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "org": str(claims.organization_id),
            "iat": _seconds(now),
            "exp": _seconds(until or now + timedelta(seconds=self.access_seconds)),
        }
        if claims.impersonation_id is not None:
            payload |= {"imp": str(claims.impersonation_id), "act": {"sub": str(claims.actor_id)}}
        return jwt.encode(payload, signer.key, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": signer.kid})

    async def read_access(self, token: str) -> AccessClaims:
        """Raises `Unauthenticated` for whatever is not a valid access token of ours; never says why."""
        if (known := self._verified.get(token)) is not None and clock.now().timestamp() < known.ends_at:
            return known.claims
        try:
            verified = await self._verify(token)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise Unauthenticated from error
        self._verified[token] = verified
        if len(self._verified) > VERIFIED:
            self._verified.popitem(last=False)
        return verified.claims

    async def _verify(self, token: str) -> _Verified:
        header = jwt.get_unverified_header(token)
        if set(header) != HEADER or header["typ"] != TYPE or header["alg"] != ALGORITHM:
            raise Unauthenticated
        key = await self.keys.public_key(header["kid"])
        if key is None:
            raise Unauthenticated
        payload = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["exp", "iat", "sub", "sid", "org", "aud", "iss"]},
        )
        ends_at = min(
            datetime.fromtimestamp(float(payload["exp"]), UTC), clock.now() + timedelta(seconds=self.access_seconds)
        )
        claims = AccessClaims(
            ends_at=ends_at,
            user_id=UUID(payload["sub"]),
            session_id=UUID(payload["sid"]),
            organization_id=UUID(payload["org"]),
            impersonation_id=UUID(payload["imp"]) if "imp" in payload else None,
            actor_id=UUID(payload["act"]["sub"]) if "act" in payload else None,
        )
        return _Verified(claims, ends_at.timestamp())

    def new_refresh(self) -> str:
        return REFRESH_PREFIX + _encode(secrets.token_bytes(REFRESH_BYTES))

    def successor_of(self, refresh_token: str) -> str:
        return REFRESH_PREFIX + _encode(hmac.digest(self._refresh_key, refresh_token.encode(), "sha256"))


def hash_refresh(refresh_token: str) -> bytes:
    """What is stored. The token has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(refresh_token.encode()).digest()


def derive(secret: str, purpose: bytes) -> bytes:
    """A key for one purpose, from the deployment's secret."""
    return hashlib.blake2b(purpose, key=hashlib.sha256(secret.encode()).digest(), digest_size=32).digest()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
