"""Chores: what a deployment does for itself, for all organizations at once, at a steady interval.

A schedule makes a job for each organization; a chore makes none, and so costs next to nothing where there is nothing to
do. Every worker process has the same chores: each sees to it that two at once do no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import NoReturn

import structlog
from msgspec import Struct

log = structlog.get_logger()


class Chore(Struct, frozen=True, kw_only=True):
    name: str
    every: timedelta
    work: Callable[[], Awaitable[object]]


async def run_chores(chores: Sequence[Chore]) -> None:
    """Run each at its interval until cancelled. They wait neither for each other nor for what failed."""
    async with asyncio.TaskGroup() as group:
        for chore in chores:
            group.create_task(_repeat(chore), name=f"chore:{chore.name}")


async def _repeat(chore: Chore) -> NoReturn:
    while True:
        try:
            await chore.work()
        except Exception as error:  # PostgreSQL is away: what is to be done stays to be done
            log.warning("chore.stalled", chore=chore.name, error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(chore.every.total_seconds())
