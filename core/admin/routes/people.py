"""People and sessions, for operators."""

from typing import Any, Literal
from uuid import UUID

from litestar import Response
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery

from core.admin import people
from core.admin.routes.access import OPERATING, Search, platform_of
from core.admin.schemas import PersonDetails, PersonOut, PersonSessionOut
from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import operates
from core.http.handlers import delete, get, post
from core.http.responses import Limit, PageCursor, json_bytes
from core.identity.credential_schemas import SessionsEnded
from core.identity.operators import PLATFORM_READ, PLATFORM_WRITE
from core.tasks.context import Ctx

PERSON = "/{user_id:uuid}"
type PersonSort = Literal["created_at", "-created_at", "email", "-email", "last_login", "-last_login"]
type SessionSort = Literal["created_at", "-created_at", "last_used_at", "-last_used_at"]


@get("/", operation_id="list_people", summary="All people", guards=[operates(PLATFORM_READ)], opt=OPERATING)
async def list_people(
    ctx: Ctx,
    state: State,
    q: Search = None,
    is_active: FromQuery[bool | None] = None,
    organization_id: FromQuery[UUID | None] = None,
    sort: FromQuery[PersonSort] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[PersonOut]]:
    page = await platform_of(state).page(
        people.PEOPLE, sort=sort, limit=limit, cursor=cursor, q=q, is_active=is_active, organization_id=organization_id
    )
    return json_bytes(page)


@get(PERSON, operation_id="get_person", summary="A person", guards=[operates(PLATFORM_READ)], opt=OPERATING)
async def get_person(ctx: Ctx, state: State, user_id: FromPath[UUID]) -> PersonDetails:
    return await people.get_person(platform_of(state), user_id)


@post(
    f"{PERSON}/disable",
    operation_id="disable_person",
    summary="Keep a person out everywhere; ends their sessions",
    status_code=200,
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def disable_person(ctx: Ctx, state: State, user_id: FromPath[UUID]) -> PersonDetails:
    return await people.disable_person(platform_of(state), ctx.principal, user_id)


@post(
    f"{PERSON}/enable",
    operation_id="enable_person",
    summary="Let a person in again",
    status_code=200,
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def enable_person(ctx: Ctx, state: State, user_id: FromPath[UUID]) -> PersonDetails:
    return await people.enable_person(platform_of(state), ctx.principal, user_id)


@post(
    f"{PERSON}/sign-out",
    operation_id="sign_out_person",
    summary="End all sessions of a person",
    status_code=200,
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def sign_out_person(ctx: Ctx, state: State, user_id: FromPath[UUID]) -> SessionsEnded:
    return SessionsEnded(ended=await people.sign_out_everywhere(platform_of(state), user_id))


@post(
    f"{PERSON}/reset-mfa",
    operation_id="reset_person_mfa",
    summary="Take the second factor off somebody who lost it; ends their sessions",
    status_code=200,
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def reset_person_mfa(ctx: Ctx, state: State, user_id: FromPath[UUID]) -> PersonDetails:
    return await people.reset_second_factor(platform_of(state), user_id)


@get("/", operation_id="list_all_sessions", summary="All sessions", guards=[operates(PLATFORM_READ)], opt=OPERATING)
async def list_all_sessions(
    ctx: Ctx,
    state: State,
    user_id: FromQuery[UUID | None] = None,
    organization_id: FromQuery[UUID | None] = None,
    living: FromQuery[bool | None] = None,
    sort: FromQuery[SessionSort] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[PersonSessionOut]]:
    page = await platform_of(state).page(
        people.SESSIONS,
        sort=sort,
        limit=limit,
        cursor=cursor,
        user_id=user_id,
        organization_id=organization_id,
        living=living,
    )
    return json_bytes(page)


@delete(
    "/{session_id:uuid}",
    operation_id="end_persons_session",
    summary="End somebody's session",
    guards=[operates(PLATFORM_WRITE)],
    opt=OPERATING,
)
async def end_persons_session(ctx: Ctx, state: State, session_id: FromPath[UUID]) -> None:
    await people.end_session(platform_of(state), session_id)


PERSON_ROUTES: list[Any] = [
    list_people,
    get_person,
    disable_person,
    enable_person,
    sign_out_person,
    reset_person_mfa,
]
SESSION_ROUTES: list[Any] = [list_all_sessions, end_persons_session]
