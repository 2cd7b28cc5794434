"""Operators, and what they ask for."""

from typing import Any

import httpx
import pytest

from core.testing.tenants import MakeTenant, Tenant, client_of, make_operator

ADMIN = "/api/v1/admin"
ORGANIZATIONS, USERS, SESSIONS, IMPERSONATIONS = (
    f"{ADMIN}/{name}" for name in ("organizations", "users", "sessions", "impersonations")
)


@pytest.fixture
async def operator(new_tenant: MakeTenant) -> Tenant:
    """An operator, who is in an organization of their own."""
    return await make_operator(await new_tenant())


async def ask(operator: Tenant, method: str, url: str, *, status: int = 200, **content: Any) -> Any:
    """The answer's body, where the answer is as expected."""
    answer = await operator.client.request(method, url, **content)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def organization_url(tenant: Tenant, rest: str = "") -> str:
    return f"{ORGANIZATIONS}/{tenant.organization_id}{rest}"


async def suspend(operator: Tenant, tenant: Tenant) -> Any:
    return await ask(operator, "PUT", organization_url(tenant, "/suspension"), json={"reason": "Unpaid"})


async def open_again(operator: Tenant, tenant: Tenant) -> Any:
    return await ask(operator, "DELETE", organization_url(tenant, "/suspension"))


async def impersonate(operator: Tenant, person: Tenant, **more: Any) -> tuple[httpx.AsyncClient, dict[str, Any]]:
    """A client in the person's place, and the impersonation."""
    wanted = {
        "user_id": str(person.user_id),
        "organization_id": str(person.organization_id),
        "reason": "Ticket 4711",
        **more,
    }
    made = await ask(operator, "POST", IMPERSONATIONS, status=201, json=wanted)
    return client_of(operator.application, token=made["access_token"]), made["impersonation"]
