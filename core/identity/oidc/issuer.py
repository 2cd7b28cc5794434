"""What an issuer publishes of itself: its metadata and its keys, read over HTTP and kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
import structlog
from msgspec import Meta, Struct

from core.errors import Unavailable
from core.http.outgoing import Outgoing, OutgoingFailed
from core.settings import OidcProvider

log = structlog.get_logger()

KEPT_SECONDS = 3600.0
"""Metadata and keys are read anew after this."""
PATIENCE_SECONDS = 5.0
"""After a failure, and between two looks for a key that was not there: however many ask, the issuer is asked once."""
DOCUMENT_BYTES = 262_144


class Metadata(Struct, frozen=True, kw_only=True):
    """What OpenID Connect Discovery calls the provider's configuration, as far as we need it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Jwks(Struct, frozen=True, kw_only=True):
    keys: Annotated[list[dict[str, Any]], Meta(max_length=100)]


def unavailable(provider: str, reason: str) -> Unavailable:
    """The issuer's fault, for the client; what it is, for the log."""
    log.warning("oidc.issuer_failed", provider=provider, reason=reason)
    return Unavailable("The sign-in service does not answer as it should; try again", code="oidc-provider-unavailable")


class Issuer:
    """One provider's issuer, as this process knows it."""

    def __init__(self, provider: OidcProvider, outgoing: Outgoing) -> None:
        self.provider = provider
        self._outgoing = outgoing
        self._metadata = Kept(self._read_metadata)
        self._keys = Kept(self._read_keys)

    async def metadata(self) -> Metadata:
        """Raises `Unavailable` where the issuer is away, or is not the one that it should be."""
        return await self._metadata.get()

    async def keys(self, kid: str | None) -> list[Mapping[str, Any]]:
        """The public keys that may have signed under this id. An unknown id has them read anew: the issuer may have
        changed its keys."""
        if found := _of_id(await self._keys.get(), kid):
            return found
        return _of_id(await self._keys.get(renewed=True), kid)

    async def _read_metadata(self) -> Metadata:
        issuer = self.provider.issuer
        metadata = await self.read(f"{issuer.rstrip('/')}/.well-known/openid-configuration", Metadata)
        if metadata.issuer != issuer:
            raise unavailable(self.provider.name, "the metadata name another issuer")
        try:
            for url in (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri):
                self._outgoing.check(url)
        except OutgoingFailed as error:
            raise unavailable(self.provider.name, f"an endpoint is {error.reason}") from error
        return metadata

    async def _read_keys(self) -> Jwks:
        return await self.read((await self.metadata()).jwks_uri, Jwks)

    async def read[T](self, url: str, kind: type[T]) -> T:
        try:
            answer = await self._outgoing.get(url, headers={"accept": "application/json"}, most_bytes=DOCUMENT_BYTES)
            if answer.status != 200:
                raise OutgoingFailed(f"status {answer.status}")
            return msgspec.json.decode(answer.body, type=kind)
        except OutgoingFailed as error:
            raise unavailable(self.provider.name, error.reason) from error
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise unavailable(self.provider.name, "its document can't be read") from error


def _of_id(jwks: Jwks, kid: str | None) -> list[Mapping[str, Any]]:
    """Those for signatures; a token without a key's id may be signed with any of them."""
    return [
        key
        for key in jwks.keys
        if key.get("kty") in ("RSA", "EC", "OKP")
        and key.get("use", "sig") == "sig"
        and (kid is None or key.get("kid") == kid)
    ]


class Kept[T]:
    """A document that is read when it is first asked for and again when it is old; all who ask at once share one look,
    and its failure for a few seconds."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._reading: asyncio.Task[T] | None = None
        self._value: T | None = None
        self._read_at = self._failed_at = float("-inf")

    async def get(self, *, renewed: bool = False) -> T:
        """`renewed` wants one that is no older than a few seconds."""
        now = asyncio.get_running_loop().time()
        if self._value is not None and now < self._read_at + (PATIENCE_SECONDS if renewed else KEPT_SECONDS):
            return self._value
        if self._reading is None:
            if now < self._failed_at + PATIENCE_SECONDS:
                raise Unavailable("The sign-in service does not answer; try again", code="oidc-provider-unavailable")
            self._reading = asyncio.create_task(self._read_now())
            self._reading.add_done_callback(_take_note)
        return await asyncio.shield(self._reading)

    async def _read_now(self) -> T:
        loop = asyncio.get_running_loop()
        try:
            value = await self._read()
        except BaseException:
            self._failed_at = loop.time()
            raise
        else:
            self._value, self._read_at = value, loop.time()
            return value
        finally:
            self._reading = None


def _take_note(reading: "asyncio.Task[Any]") -> None:
    """Of a failure that nobody waits for any more: it was logged where it happened."""
    if not reading.cancelled():
        reading.exception()
