"""Registering, confirming an address, a new password, and entering another of one's organizations."""

from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.params import JSONBody

from core.http.access import signed_in
from core.http.authentication import WHILE_SUSPENDED
from core.http.handlers import post
from core.http.idempotency import NO_KEY
from core.identity import organizations
from core.identity.onboarding import Onboarding
from core.identity.organization_schemas import (
    EmailIn,
    LetterAccepted,
    LinkTokenIn,
    ResetPasswordIn,
    SwitchIn,
)
from core.identity.origins import origin_of
from core.identity.routes.sessions import user_id_of
from core.identity.schemas import RegisterAccepted, RegisterIn, TokenPair
from core.identity.service import Identity
from core.tasks.context import Ctx


def onboarding_of(state: State) -> Onboarding:
    return state.onboarding


def identity_of(state: State) -> Identity:
    return state.identity


@post(
    "/register",
    operation_id="register",
    summary="Register a person and their organization",
    status_code=202,
    opt={"public": True},
)
async def register(state: State, data: JSONBody[RegisterIn]) -> RegisterAccepted:
    await onboarding_of(state).register(data)
    return RegisterAccepted()


@post(
    "/verify-email",
    operation_id="verify_email",
    summary="Confirm an address with the token that was mailed to it",
    status_code=204,
    opt={"public": True, "problems": (404,)},
)
async def verify_email(state: State, data: JSONBody[LinkTokenIn]) -> None:
    await onboarding_of(state).verify_email(data.token)


@post(
    "/verify-email/resend",
    operation_id="resend_verification",
    summary="Have the link that confirms one's address mailed again",
    status_code=202,
    guards=[signed_in],
)
async def resend_verification(ctx: Ctx, state: State) -> LetterAccepted:
    await onboarding_of(state).resend_verification(user_id_of(ctx))
    return LetterAccepted()


@post(
    "/password-reset",
    operation_id="request_password_reset",
    summary="Have a link mailed with which to choose a new password",
    status_code=202,
    opt={"public": True},
)
async def request_password_reset(state: State, data: JSONBody[EmailIn]) -> LetterAccepted:
    await onboarding_of(state).request_reset(data.email)
    return LetterAccepted()


@post(
    "/password-reset/confirm",
    operation_id="reset_password",
    summary="Choose a new password; ends all sessions",
    status_code=204,
    opt={"public": True, "problems": (404,)},
)
async def reset_password(state: State, data: JSONBody[ResetPasswordIn]) -> None:
    await onboarding_of(state).reset_password(data.token, data.password)


@post(
    "/restore-organization",
    operation_id="restore_organization",
    summary="Bring a deleted organization back with the token that was mailed to its owner",
    status_code=204,
    opt={"public": True, "problems": (404,)},
)
async def restore_organization(state: State, data: JSONBody[LinkTokenIn]) -> None:
    await organizations.restore_organization(onboarding_of(state).database, data.token)


@post(
    "/switch",
    operation_id="switch_organization",
    summary="Enter another of one's organizations, in a session of its own",
    status_code=200,
    guards=[signed_in],
    opt={"problems": (404,), NO_KEY: True, WHILE_SUSPENDED: True},
)
async def switch_organization(
    ctx: Ctx, state: State, request: Request[Any, Any, Any], data: JSONBody[SwitchIn]
) -> TokenPair:
    return await identity_of(state).switch(ctx.principal, data.organization, origin_of(request))


ONBOARDING_ROUTES = (
    register,
    verify_email,
    resend_verification,
    request_password_reset,
    reset_password,
    restore_organization,
    switch_organization,
)
