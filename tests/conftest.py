"""The order of a run: what takes long begins first, so that no worker is left alone with it at the end."""

import pytest

LONG = ("schemathesis", "test_pages", "processes", "twins", "test_followers", "test_readme", "queries_alone", "memory")
"""Parts of names of tests that take seconds each, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((place for place, part in enumerate(LONG) if part in item.nodeid), len(LONG))

    items.sort(key=place)
