"""Waiting for what another task or process brings about: by asking again, never by sleeping a guessed time."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], Awaitable[bool] | bool], *, within: float, every: float = 0.02) -> float:
    """Ask until it holds; returns the seconds that took. Raises `TimeoutError` after `within` seconds."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while True:
        answer = holds()
        if answer if isinstance(answer, bool) else await answer:
            return loop.time() - started
        if loop.time() - started > within:
            raise TimeoutError(f"It did not come to hold within {within} s")
        await asyncio.sleep(every)
