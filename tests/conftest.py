"""The order of a run, and its garbage."""

import gc
from collections.abc import Generator

import pytest

LONG = ("schemathesis", "test_pages", "twins", "test_followers", "test_readme", "queries_alone", "memory")
"""Parts of names of tests that take seconds each, the longest first."""
WAITING = ("tests/processes", "is_away")
"""Parts of names of tests that mostly wait, for a process that starts or for one that is gone."""
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
    """What takes long begins first, so that no worker is left alone with it at the end; what waits is spread over the
    run, so that while one worker waits the others are at work."""

    def place(item: pytest.Item) -> int:
        return next((place for place, part in enumerate(LONG) if part in item.nodeid), len(LONG))

    ordered = sorted(items, key=place)
    waiting = [item for item in ordered if any(part in item.nodeid for part in WAITING)]
    busy = [item for item in ordered if item not in set(waiting)]
    step = max(1, len(busy) * 4 // 5 // (len(waiting) + 1))  # the last fifth is short work
    items.clear()
    for number, item in enumerate(busy):
        items.append(item)
        if number % step == 0 and waiting:
            items.append(waiting.pop(0))
    items.extend(waiting)


def pytest_unconfigure() -> None:
    """One collection finds whatever was never awaited; pytest goes on to make five."""
    gc.collect()
    gc.freeze()
