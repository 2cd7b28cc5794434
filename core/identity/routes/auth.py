"""Signing in and out, and who one is."""

from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.params import JSONBody

from core.http.access import IMPERSONATED, signed_in
from core.http.authentication import WHILE_SUSPENDED
from core.http.handlers import get, post
from core.identity.origins import origin_of
from core.identity.schemas import LoginIn, Me, RefreshIn, TokenPair
from core.identity.service import Identity
from core.tasks.context import Ctx


def _identity(state: State) -> Identity:
    return state.identity


@post("/login", operation_id="login", summary="Sign in", status_code=200, opt={"public": True, "throttled": True})
async def login(state: State, request: Request[Any, Any, Any], data: JSONBody[LoginIn]) -> TokenPair:
    return await _identity(state).login(data, origin_of(request))


@post("/refresh", operation_id="refresh", summary="Swap a refresh token", status_code=200, opt={"public": True})
async def refresh(state: State, data: JSONBody[RefreshIn]) -> TokenPair:
    return await _identity(state).refresh(data.refresh_token)


@post(
    "/logout",
    operation_id="logout",
    summary="End this session",
    status_code=204,
    guards=[signed_in],
    opt={WHILE_SUSPENDED: True},
)
async def logout(ctx: Ctx, state: State) -> None:
    if ctx.principal.session_id is not None:
        await _identity(state).logout(ctx.principal.session_id)


@get("/", operation_id="get_me", summary="Who am I?", guards=[signed_in], opt={IMPERSONATED: True})
async def me(ctx: Ctx, state: State) -> Me:
    return await _identity(state).me(ctx.principal)


AUTH_ROUTES = (login, refresh, logout)
USER_ROUTES = (me,)
