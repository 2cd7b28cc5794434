"""Signing in with an issuer of OpenID Connect."""

from typing import Any
from uuid import UUID

from litestar import Request
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody
from msgspec import convert

from core.db.pages import Page
from core.http.access import signed_in
from core.http.handlers import delete, get, post
from core.http.idempotency import NO_KEY
from core.identity.oidc.linking import identities_of, unlink
from core.identity.oidc.schemas import (
    OidcCallbackIn,
    OidcIdentityOut,
    OidcLinkIn,
    OidcProviderOut,
    OidcProvidersOut,
    OidcSecondFactorIn,
    OidcStarted,
    OidcStartIn,
)
from core.identity.oidc.sign_in import OidcSignIn
from core.identity.origins import origin_of
from core.identity.routes.sessions import user_id_of
from core.identity.schemas import TokenPair
from core.identity.service import Identity
from core.tasks.context import Ctx


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
    return await _sign_in(state).start(provider, organization=data.organization)


@post(
    "/oidc/{provider:str}/callback",
    operation_id="finish_oidc",
    summary="Sign in with what the service sent the browser back with",
    status_code=200,
    opt={"public": True, "throttled": True, "problems": (403, 409)},
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


@post(
    "/oidc/{provider:str}/link",
    operation_id="link_oidc",
    summary="Begin to link a service with one's account; the callback ends it, with a new session",
    status_code=201,
    guards=[signed_in],
    opt={"throttled": True, NO_KEY: True},
)
async def link_oidc(
    ctx: Ctx,
    state: State,
    request: Request[Any, Any, Any],
    provider: FromPath[str],
    data: JSONBody[OidcLinkIn],
) -> OidcStarted:
    identity: Identity = state.identity
    await identity.account.prove_password(ctx.principal, origin_of(request), data.password)
    return await _sign_in(state).start(provider, session_id=ctx.principal.session_id)


@get(
    "/oidc/identities",
    operation_id="list_oidc_identities",
    summary="With which services can I sign in?",
    guards=[signed_in],
)
async def list_oidc_identities(ctx: Ctx, state: State) -> Page[OidcIdentityOut]:
    found = await identities_of(_sign_in(state).database, user_id_of(ctx))
    return Page(items=convert(list(found), list[OidcIdentityOut], from_attributes=True), next_cursor=None)


@delete(
    "/oidc/identities/{identity_id:uuid}",
    operation_id="unlink_oidc",
    summary="Let a service no longer sign me in",
    guards=[signed_in],
)
async def unlink_oidc(ctx: Ctx, state: State, identity_id: FromPath[UUID]) -> None:
    await unlink(_sign_in(state).database, identity_id, user_id=user_id_of(ctx))


OIDC_ROUTES = (
    list_oidc_providers,
    start_oidc,
    finish_oidc,
    finish_oidc_with_second_factor,
    link_oidc,
    list_oidc_identities,
    unlink_oidc,
)
