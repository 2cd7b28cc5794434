"""Where a request comes from. Headers that claim another address count only from our own proxies.

Of the chain in the header that the proxies write, the rightmost address that is not one of theirs is the client's;
whatever stands to its left, the client may have written itself.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from litestar.types import ASGIApp, Receive, Scope, Send

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

MOST_HOPS = 32
"""Of a chain; those further left are nobody's business."""
FORWARDED_FOR = re.compile(r"""(?:^|;)\s*for\s*=\s*("[^"]*"|[^;"\s]+)\s*(?:;|$)""", re.IGNORECASE)
HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[0-9.]+))(?::\d{1,5})?")


class ClientAddresses:
    """Puts the client's address in the place of the proxy's, for all that comes after. Plain ASGI."""

    def __init__(self, app: ASGIApp, *, proxies: Sequence[Network], header: str) -> None:
        self._app = app
        self._proxies = proxies
        self._header = header.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":  # pyright: ignore[reportUnnecessaryComparison]
            found = client_address(scope, proxies=self._proxies, header=self._header)
            client = scope["client"]
            scope["client"] = None if found is None else (found, client[1] if client else 0)
        await self._app(scope, receive, send)


def client_address(scope: Scope, *, proxies: Sequence[Network], header: bytes) -> str | None:
    """The rightmost address that is no proxy of ours; the last of ours where the chain ends or stops making sense."""
    peer = address_of(scope)
    nearest = _parsed(peer or "")
    if nearest is None or not _is_ours(nearest, proxies):
        return peer
    lines = b",".join(value for name, value in scope["headers"] if name == header).decode("latin-1")
    for claimed in reversed(_hops(lines, is_forwarded=header == b"forwarded")):
        hop = _parsed(claimed)
        if hop is None:
            break
        nearest = hop
        if not _is_ours(hop, proxies):
            break
    return str(nearest)


def address_of(scope: Scope) -> str | None:
    client: Any = scope.get("client")
    return client[0] if client else None


def network_of(address: str | None) -> str:
    """What counts as one place: an IPv4 address, or the /64 that a subscriber of IPv6 has all of."""
    parsed = _parsed(address or "")
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed), 64), strict=False))
    return str(parsed or "unknown")


def _hops(chain: str, *, is_forwarded: bool) -> list[str]:
    parts = chain.rsplit(",", MOST_HOPS)[-MOST_HOPS:] if chain else []
    if not is_forwarded:
        return [part.strip() for part in parts]
    found: Iterable[re.Match[str] | None] = (FORWARDED_FOR.search(part.strip()) for part in parts)
    return ["" if match is None else match[1].strip('"') for match in found]


def _parsed(text: str) -> Address | None:
    """An address, with or without a port. One of IPv4 that is written as IPv6 is the same one."""
    match = HOST_AND_PORT.fullmatch(text)
    try:
        parsed = ip_address((match["v6"] or match["v4"]) if match else text)
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


def _is_ours(address: Address, proxies: Iterable[Network]) -> bool:
    return any(address in network for network in proxies)
