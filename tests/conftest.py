"""The order of a run, and its garbage."""

import gc
from collections.abc import Generator

import pytest

LONG = ("schemathesis", "test_pages", "processes", "twins", "test_followers", "test_readme", "queries_alone", "memory")
"""Parts of names of tests that take seconds each, the longest first."""
NEW_OBJECTS = 20_000
"""Before a young collection; Python's own are 700."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end, so no collection of garbage looks at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(NEW_OBJECTS)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no worker is left alone with it at the end."""

    def place(item: pytest.Item) -> int:
        return next((place for place, part in enumerate(LONG) if part in item.nodeid), len(LONG))

    items.sort(key=place)


def pytest_unconfigure() -> None:
    """One collection finds whatever was never awaited; pytest goes on to make five."""
    gc.collect()
    gc.freeze()
