"""Where a request comes from, as far as that can be known."""

from litestar import Request
from msgspec import Struct

from core.http.addresses import network_of

AGENT_LENGTH = 300


class Origin(Struct, frozen=True, kw_only=True):
    """Address and user agent of a client, as `core.http.addresses` found it."""

    address: str | None = None
    user_agent: str | None = None

    @property
    def network(self) -> str:
        return network_of(self.address)


def origin_of[U, A, S](request: "Request[U, A, S]") -> Origin:  # pyright: ignore[reportInvalidTypeArguments]
    agent = request.headers.get("user-agent")
    return Origin(
        address=request.client.host if request.client else None,
        user_agent=agent[:AGENT_LENGTH].replace("\0", "") if agent else None,
    )
