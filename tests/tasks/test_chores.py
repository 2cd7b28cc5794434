"""Chores: again and again, whatever happened the last time, and none waits for another."""

import asyncio
from datetime import timedelta

import pytest

from core.tasks.chores import Chore, run_chores
from core.testing.waiting import until

SOON = timedelta(milliseconds=5)


async def test_a_chore_that_fails_is_done_again_and_holds_up_no_other() -> None:
    failed, done = [0], [0]

    async def fail() -> None:
        failed[0] += 1
        raise ConnectionRefusedError("PostgreSQL is away")

    async def work() -> None:
        done[0] += 1

    async def hang() -> None:
        await asyncio.Event().wait()

    chores = [Chore(name=f.__name__, every=SOON, work=f) for f in (hang, fail, work)]
    running = asyncio.create_task(run_chores(chores))
    await until(lambda: failed[0] > 2 and done[0] > 2, within=5)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert min(failed[0], done[0]) > 2
