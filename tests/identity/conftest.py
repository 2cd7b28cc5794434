"""Letters arrive over real SMTP."""

from collections.abc import AsyncGenerator

import pytest
from letterbox import Letterbox, open_letterbox

from core.app import Application


@pytest.fixture
async def letterbox(application: Application) -> AsyncGenerator[Letterbox]:
    async with open_letterbox(application) as opened:
        yield opened
