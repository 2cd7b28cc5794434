"""The mall: an application of its own, with two modules that exist for these tests alone."""

from collections.abc import AsyncGenerator

import pytest
from msgspec import structs

from core.app import Application, create_app
from core.settings import Settings
from core.testing.stage import runtime_on
from core.testing.tenants import make_tenant, running
from tests.plugs.mall import BETWEEN_STEPS, Asked, Mall, make_plugs


@pytest.fixture(scope="module")
async def opened(settings: Settings) -> AsyncGenerator[tuple[Application, Asked]]:
    """Nothing is on by default here."""
    asked = Asked()
    runtime = runtime_on(structs.replace(settings, default_modules="none"), make_plugs(asked))
    async with running(create_app(runtime)) as application:
        yield application, asked


@pytest.fixture
async def mall(opened: tuple[Application, Asked]) -> Mall:
    """Of an organization of the test's own; its hooks were asked nothing yet, and do as they are asked."""
    application, asked = opened
    asked.calls.clear()
    asked.raises.clear()
    BETWEEN_STEPS.then.clear()
    return Mall(application, await make_tenant(application), asked)
