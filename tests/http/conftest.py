"""Whoever asks everything has to be let in everywhere: an owner, who operates the platform as well."""

import pytest

from core.testing.tenants import MakeTenant, Tenant, make_operator


@pytest.fixture
async def acme(new_tenant: MakeTenant) -> Tenant:
    return await make_operator(await new_tenant())
