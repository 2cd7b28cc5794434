"""Whoever asks everything has to be let in everywhere: an owner, who operates the platform as well."""

from collections.abc import AsyncGenerator

import pytest
from asking import Known, existing_ids, rows_stored

from core.app import Application
from core.testing.tenants import MakeTenant, Tenant, make_operator, make_tenant


@pytest.fixture
async def acme(new_tenant: MakeTenant) -> Tenant:
    return await make_operator(await new_tenant())


@pytest.fixture(scope="session")
async def known(application: Application) -> Known:
    """For tests in which everything is refused: a tenant with one of everything, which no test changes."""
    tenant = await make_operator(await make_tenant(application))
    return Known(tenant=tenant, ids=await existing_ids(tenant))


@pytest.fixture
async def nothing_stored(known: Known) -> AsyncGenerator[None]:
    """The test fails where it leaves one row more, or fewer, than there were."""
    before = await rows_stored(known.tenant.database)
    yield
    assert await rows_stored(known.tenant.database) == before
