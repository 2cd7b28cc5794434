"""An authenticator app for tests."""

import base64
from typing import Any

import httpx
import time_machine

from core import clock
from core.identity.totp import code_at, step_at
from core.testing.tenants import PASSWORD, Tenant, client_of

LOGIN, MFA = "/api/v1/auth/login", "/api/v1/auth/mfa"


def seed_in(enrolment: dict[str, str]) -> bytes:
    return base64.b32decode(enrolment["secret"])


def code_of(seed: bytes, *, steps: int = 0) -> str:
    """The code of now, or of some steps from now."""
    return code_at(seed, step_at(clock.now()) + steps)


async def enrol(tenant: Tenant) -> bytes:
    answer = await tenant.client.post(f"{MFA}/totp", json={"password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return seed_in(answer.json())


async def turn_on(tenant: Tenant) -> tuple[bytes, list[str]]:
    """The seed, and the recovery codes. The code of the step before now is used up by it."""
    seed = await enrol(tenant)
    with time_machine.travel(clock.now(), tick=False):  # or the step may end meanwhile, and its code be too old
        answer = await tenant.client.post(f"{MFA}/totp/confirm", json={"code": code_of(seed, steps=-1)})
    assert answer.status_code == 200, answer.text
    return seed, answer.json()["recovery_codes"]


async def sign_in(tenant: Tenant, client: httpx.AsyncClient | None = None, **others: Any) -> httpx.Response:
    data = {"email": tenant.email, "password": PASSWORD, **others}
    if client is not None:
        return await client.post(LOGIN, json=data)
    async with client_of(tenant.application) as anonymous:
        return await anonymous.post(LOGIN, json=data)
