"""A person's sessions and password."""

from typing import Any
from uuid import UUID

from litestar import Request
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from core.db.pages import Page
from core.errors import Unauthenticated
from core.http.access import signed_in
from core.http.handlers import delete, get, post
from core.identity.credential_schemas import PasswordChange, SessionOut, SessionsEnded
from core.identity.models import Session
from core.identity.origins import origin_of
from core.identity.service import Identity
from core.principal import Principal
from core.tasks.context import Ctx


def _identity(state: State) -> Identity:
    return state.identity


def user_id_of(ctx: Ctx) -> UUID:
    """Who asks. Raises `Unauthenticated` where that is no person, which `signed_in` rules out."""
    if ctx.user_id is None:
        raise Unauthenticated
    return ctx.user_id


def _session_out(session: Session, principal: Principal) -> SessionOut:
    return SessionOut(
        id=session.id,
        current=session.id == principal.session_id,
        created_at=session.created_at,
        last_used_at=session.last_used_at,
        expires_at=session.expires_at,
        address=session.address,
        user_agent=session.user_agent,
    )


@get("/sessions", operation_id="list_sessions", summary="Where am I signed in?", guards=[signed_in])
async def list_sessions(ctx: Ctx, state: State) -> Page[SessionOut]:
    """The 200 that were used last."""
    living = await _identity(state).sessions.living(user_id_of(ctx))
    return Page(items=[_session_out(session, ctx.principal) for session in living], next_cursor=None)


@delete("/sessions/{session_id:uuid}", operation_id="end_session", summary="End one of my sessions", guards=[signed_in])
async def end_session(ctx: Ctx, state: State, session_id: FromPath[UUID]) -> None:
    await _identity(state).sessions.end(session_id, user_id=user_id_of(ctx), reason="ended-by-person")


@post(
    "/sessions/end-others",
    operation_id="end_other_sessions",
    summary="End all my sessions but this one",
    status_code=200,
    guards=[signed_in],
)
async def end_other_sessions(ctx: Ctx, state: State) -> SessionsEnded:
    ended = await _identity(state).sessions.end_others(
        ctx.principal.session_id, user_id=user_id_of(ctx), reason="ended-by-person"
    )
    return SessionsEnded(ended=ended)


@post(
    "/password",
    operation_id="change_password",
    summary="Change my password; ends my other sessions",
    status_code=204,
    guards=[signed_in],
    opt={"throttled": True},
)
async def change_password(
    ctx: Ctx, state: State, request: Request[Any, Any, Any], data: JSONBody[PasswordChange]
) -> None:
    await _identity(state).account.change_password(
        ctx.principal, origin_of(request), current=data.current_password, new=data.new_password
    )


SESSION_ROUTES = (list_sessions, end_session, end_other_sessions, change_password)
