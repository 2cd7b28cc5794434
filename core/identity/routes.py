"""Routes of identity: `/api/v1/auth/…` and `/api/v1/users/me`."""

from litestar import Router, get, post
from litestar.datastructures import State
from litestar.params import JSONBody

from core.http.access import InjectedCtx as Ctx
from core.http.access import signed_in
from core.identity.schemas import LoginIn, Me, RefreshIn, RegisterAccepted, RegisterIn, TokenPair
from core.identity.service import Identity


def _identity(state: State) -> Identity:
    return state.identity


@post(
    "/register",
    operation_id="register",
    summary="Register a person and their organization",
    status_code=202,
    opt={"public": True},
)
async def register(state: State, data: JSONBody[RegisterIn]) -> RegisterAccepted:
    await _identity(state).register(data)
    return RegisterAccepted()


@post("/login", operation_id="login", summary="Sign in", status_code=200, opt={"public": True})
async def login(state: State, data: JSONBody[LoginIn]) -> TokenPair:
    return await _identity(state).login(data)


@post("/refresh", operation_id="refresh", summary="Swap a refresh token", status_code=200, opt={"public": True})
async def refresh(state: State, data: JSONBody[RefreshIn]) -> TokenPair:
    return await _identity(state).refresh(data.refresh_token)


@post("/logout", operation_id="logout", summary="End this session", status_code=204, guards=[signed_in])
async def logout(ctx: Ctx, state: State) -> None:
    if ctx.principal.session_id is not None:
        await _identity(state).logout(ctx.principal.session_id)


@get("/users/me", operation_id="get_me", summary="Who am I?", guards=[signed_in], tags=["Users"])
async def me(ctx: Ctx, state: State) -> Me:
    return await _identity(state).me(ctx.principal)


def identity_router() -> Router:
    auth = Router("/auth", route_handlers=[register, login, refresh, logout], tags=["Authentication"])
    return Router("/api/v1", route_handlers=[auth, me])
