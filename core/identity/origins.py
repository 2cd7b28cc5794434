"""Where a request comes from, as far as that can be known."""

from ipaddress import IPv6Address, ip_address, ip_network

from litestar import Request
from msgspec import Struct

AGENT_LENGTH = 300


class Origin(Struct, frozen=True, kw_only=True):
    """Address and user agent of a client. Headers that claim another address are ignored: anybody can send them."""

    address: str | None = None
    user_agent: str | None = None

    @property
    def network(self) -> str:
        """What counts as one place: an IPv4 address, or the /64 that a subscriber of IPv6 has all of."""
        try:
            parsed = ip_address(self.address or "")
        except ValueError:
            return "unknown"
        if not isinstance(parsed, IPv6Address):
            return str(parsed)
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))


def origin_of[U, A, S](request: "Request[U, A, S]") -> Origin:  # pyright: ignore[reportInvalidTypeArguments]
    agent = request.headers.get("user-agent")
    return Origin(
        address=request.client.host if request.client else None,
        user_agent=agent[:AGENT_LENGTH].replace("\0", "") if agent else None,
    )
