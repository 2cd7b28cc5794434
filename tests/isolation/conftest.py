"""Shared by the tests of isolation."""

from collections.abc import AsyncGenerator
from uuid import uuid4

import pytest

from core.runtime import Runtime, make_runtime
from core.testing.stage import Addresses, clone_template, drop_database


@pytest.fixture
async def scratch(addresses: Addresses) -> AsyncGenerator[Runtime]:
    """A migrated database that is this test's own to break."""
    database = f"scratch_{uuid4().hex[:12]}"
    await clone_template(addresses, database)
    yield make_runtime(addresses.settings(database=database, namespace=database))
    await drop_database(addresses, database)
