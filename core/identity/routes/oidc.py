"""Signing in with an issuer of OpenID Connect."""

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from core.identity.oidc.schemas import (
    OidcCallbackIn,
    OidcProviderOut,
    OidcProvidersOut,
    OidcSecondFactorIn,
    OidcStarted,
    OidcStartIn,
)
from core.identity.oidc.sign_in import OidcSignIn
from core.identity.origins import origin_of
from core.identity.schemas import TokenPair


def _sign_in(state: State) -> OidcSignIn:
    return state.oidc


@get(
    "/oidc/providers",
    operation_id="list_oidc_providers",
    summary="With which services can one sign in?",
    opt={"public": True},
)
async def list_oidc_providers(state: State) -> OidcProvidersOut:
    return OidcProvidersOut(
        items=[OidcProviderOut(name=provider.name, title=provider.title) for provider in _sign_in(state).providers]
    )


@post(
    "/oidc/{provider:str}/start",
    operation_id="start_oidc",
    summary="Begin to sign in with a service",
    status_code=201,
    opt={"public": True},
)
async def start_oidc(state: State, provider: FromPath[str], data: JSONBody[OidcStartIn]) -> OidcStarted:
    return await _sign_in(state).start(provider, data.organization)


@post(
    "/oidc/{provider:str}/callback",
    operation_id="finish_oidc",
    summary="Sign in with what the service sent the browser back with",
    status_code=200,
    opt={"public": True, "throttled": True, "problems": (403,)},
)
async def finish_oidc(
    state: State, request: Request[Any, Any, Any], provider: FromPath[str], data: JSONBody[OidcCallbackIn]
) -> TokenPair:
    return await _sign_in(state).callback(provider, data, origin_of(request))


@post(
    "/oidc/{provider:str}/second-factor",
    operation_id="finish_oidc_with_second_factor",
    summary="Sign in with the code that was asked for after the callback",
    status_code=200,
    opt={"public": True, "throttled": True},
)
async def finish_oidc_with_second_factor(
    state: State, request: Request[Any, Any, Any], provider: FromPath[str], data: JSONBody[OidcSecondFactorIn]
) -> TokenPair:
    return await _sign_in(state).second_factor(provider, data, origin_of(request))


OIDC_ROUTES = (list_oidc_providers, start_oidc, finish_oidc, finish_oidc_with_second_factor)
