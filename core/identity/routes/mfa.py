"""The second factor: turned on, confirmed, turned off; its recovery codes."""

from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.params import JSONBody

from core.http.access import signed_in
from core.http.handlers import get, post
from core.http.idempotency import NO_KEY
from core.identity.credential_schemas import (
    MfaOut,
    MfaProof,
    RecoveryCodesOut,
    TotpConfirmIn,
    TotpEnrolIn,
    TotpEnrolOut,
)
from core.identity.mfa import Code
from core.identity.origins import origin_of
from core.identity.routes.sessions import user_id_of
from core.identity.service import Identity
from core.tasks.context import Ctx


def _identity(state: State) -> Identity:
    return state.identity


@get("/mfa", operation_id="get_mfa", summary="Is my second factor on?", guards=[signed_in])
async def get_mfa(ctx: Ctx, state: State) -> MfaOut:
    found = await _identity(state).second_factors.state(user_id_of(ctx))
    return MfaOut(totp=found.confirmed, recovery_codes_left=found.recovery_codes_left)


@post(
    "/mfa/totp",
    operation_id="enrol_totp",
    summary="Begin to use an authenticator app",
    status_code=201,
    guards=[signed_in],
    opt={"throttled": True, NO_KEY: True},
)
async def enrol_totp(
    ctx: Ctx, state: State, request: Request[Any, Any, Any], data: JSONBody[TotpEnrolIn]
) -> TotpEnrolOut:
    enrolment = await _identity(state).account.enrol(ctx.principal, origin_of(request), password=data.password)
    return TotpEnrolOut(secret=enrolment.secret, otpauth_uri=enrolment.otpauth_uri)


@post(
    "/mfa/totp/confirm",
    operation_id="confirm_totp",
    summary="Turn the second factor on with a first code",
    status_code=200,
    guards=[signed_in],
    opt={"throttled": True, NO_KEY: True},
)
async def confirm_totp(
    ctx: Ctx, state: State, request: Request[Any, Any, Any], data: JSONBody[TotpConfirmIn]
) -> RecoveryCodesOut:
    codes = await _identity(state).account.confirm(ctx.principal, origin_of(request), code=data.code)
    return RecoveryCodesOut(recovery_codes=codes)


@post(
    "/mfa/totp/disable",
    operation_id="disable_totp",
    summary="Turn the second factor off",
    status_code=204,
    guards=[signed_in],
    opt={"throttled": True},
)
async def disable_totp(ctx: Ctx, state: State, request: Request[Any, Any, Any], data: JSONBody[MfaProof]) -> None:
    await _identity(state).account.turn_off(
        ctx.principal, origin_of(request), password=data.password, code=_code_of(data)
    )


@post(
    "/mfa/recovery-codes",
    operation_id="renew_recovery_codes",
    summary="Get new recovery codes; the old ones end",
    status_code=201,
    guards=[signed_in],
    opt={"throttled": True, NO_KEY: True},
)
async def renew_recovery_codes(
    ctx: Ctx, state: State, request: Request[Any, Any, Any], data: JSONBody[MfaProof]
) -> RecoveryCodesOut:
    codes = await _identity(state).account.new_recovery_codes(
        ctx.principal, origin_of(request), password=data.password, code=_code_of(data)
    )
    return RecoveryCodesOut(recovery_codes=codes)


def _code_of(proof: MfaProof) -> Code:
    return Code(totp=proof.totp_code, recovery=proof.recovery_code)


MFA_ROUTES = (get_mfa, enrol_totp, confirm_totp, disable_totp, renew_recovery_codes)
