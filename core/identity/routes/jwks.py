"""The public keys by which others can check our access tokens."""

from litestar.datastructures import CacheControlHeader, State

from core.http.handlers import get
from core.identity.service import Identity
from core.identity.signing_keys import JwkSet


@get(
    "/.well-known/jwks.json",
    operation_id="get_jwks",
    summary="Public keys of access tokens",
    tags=["Authentication"],
    cache_control=CacheControlHeader(public=True, max_age=300),
    opt={"public": True},
)
async def get_jwks(state: State) -> JwkSet:
    identity: Identity = state.identity
    return await identity.signing_keys.jwks()
