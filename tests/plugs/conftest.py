"""The mall: an application of its own, with two modules that exist for these tests alone."""

from collections.abc import AsyncGenerator

import pytest
from msgspec import structs

from core.app import create_app
from core.settings import Settings
from core.testing.stage import runtime_on
from core.testing.tenants import make_tenant, running
from tests.plugs.mall import BETWEEN_STEPS, Asked, Mall, make_plugs


@pytest.fixture
async def mall(settings: Settings) -> AsyncGenerator[Mall]:
    """Nothing is on by default here."""
    asked = Asked()
    runtime = runtime_on(structs.replace(settings, default_modules="none"), make_plugs(asked))
    BETWEEN_STEPS.then.clear()
    async with running(create_app(runtime)) as application:
        yield Mall(application, await make_tenant(application), asked)
