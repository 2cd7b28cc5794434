"""Requests that we make to others: to public addresses only, and bounded in time and size.

    answer = await outgoing.get("https://issuer.example/.well-known/openid-configuration")
    answer.status, answer.body

A name is resolved once, every address that it has must be a public one, and the connection goes to such an address: no
second look at the name can lead elsewhere. TLS checks the certificate against the name. Redirects are not followed, and
proxies of the environment not asked. Answers come as they are: nothing is decompressed.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

import certifi
import httpcore
from msgspec import Struct

from core.errors import Unavailable
from core.http.public_addresses import Address, is_loopback, is_public, parse_address

MOST_BYTES = 1_048_576
HEADERS = {"user-agent": "the-plugs", "accept-encoding": "identity"}


class OutgoingFailed(Unavailable):
    """The other side can't be reached, may not be, or answers too slowly or too much.

    `reason` is for the log: whoever chose the address must not learn from us what is behind it.
    """

    code = "outgoing-failed"
    title = "Another service could not be reached"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Answer(Struct, frozen=True, kw_only=True):
    status: int
    headers: Mapping[str, str]
    """By name in small letters."""
    body: bytes


class Outgoing:
    """Holds no connection, so any loop and any thread may use it."""

    def __init__(self, *, seconds: float = 5, loopback: bool = False, tls: ssl.SSLContext | None = None) -> None:
        """`seconds` for a whole exchange, from the look-up of the name to the answer's last byte. `loopback` lets
        requests go to this machine as well, and without TLS there: local and for tests only."""
        self._seconds = seconds
        self._loopback = loopback
        self._tls = tls

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None, most_bytes: int = MOST_BYTES) -> Answer:
        """Raises `OutgoingFailed`."""
        return await self.send("GET", url, headers=headers, most_bytes=most_bytes)

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """Any status is an answer. Raises `OutgoingFailed` where there is none."""
        self.check(url)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._exchange(method, url, {**HEADERS, **(headers or {})}, content, most_bytes)
        except TimeoutError as error:
            raise OutgoingFailed("timeout") from error
        except (OSError, ssl.SSLError, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise OutgoingFailed(type(error).__name__) from error
        except (httpcore.TimeoutException, httpcore.UnsupportedProtocol, UnicodeError) as error:
            raise OutgoingFailed(type(error).__name__) from error

    def check(self, url: str) -> str:
        """What can be said of an address before its name is resolved. Raises `OutgoingFailed`."""
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise OutgoingFailed("not an address") from error
        if not url.isascii() or not url.isprintable() or " " in url or not parts.hostname or "@" in parts.netloc:
            raise OutgoingFailed("not an address")
        if parts.scheme not in ({"https", "http"} if self._loopback else {"https"}):
            raise OutgoingFailed("not https")
        return url

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, most_bytes: int
    ) -> Answer:
        road = PublicRoad(loopback=self._loopback, only_loopback=url.startswith("http:"))
        tls = self._tls or _public_authorities()
        async with (
            httpcore.AsyncConnectionPool(ssl_context=tls, network_backend=road, retries=0) as pool,
            pool.stream(method, url, headers=list(headers.items()), content=content) as response,
        ):
            body = bytearray()
            async for piece in response.aiter_stream():
                body += piece
                if len(body) > most_bytes:
                    raise OutgoingFailed("too large")
        answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        return Answer(status=response.status, headers=answered, body=bytes(body))


class PublicRoad(httpcore.AsyncNetworkBackend):
    """Connects to what a name stands for, if all of that may be reached."""

    def __init__(self, *, loopback: bool, only_loopback: bool) -> None:
        self._loopback = loopback
        self._only_loopback = only_loopback
        self._network = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 # httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises `OutgoingFailed` where the name has an address that may not be reached."""
        addresses = await resolve(host, port)
        for address in addresses:
            if not self._may_reach(address):
                raise OutgoingFailed("not a public address")
        refused: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    str(address), port, timeout=timeout, local_address=local_address, socket_options=socket_options
                )
            except httpcore.ConnectError as error:
                refused = error
        raise refused

    async def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise OutgoingFailed("not an address")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)

    def _may_reach(self, address: Address) -> bool:
        if self._loopback and is_loopback(address):
            return True
        return not self._only_loopback and is_public(address)


async def resolve(host: str, port: int) -> list[Address]:
    """All addresses of a name, in the order to try them; of `0x7f.1` and the like too, as the system reads them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(parse_address(str(address[0])) for *_, address in found))


@cache
def _public_authorities() -> ssl.SSLContext:
    """Read once a process, which takes 20 ms."""
    return ssl.create_default_context(cafile=certifi.where())
