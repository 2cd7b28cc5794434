"""Answers by the handful: who asks while a question is under way is answered together with the others by the next.

Nobody waits for company. One who asks alone is answered alone; the busier it gets, the more share a round trip.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence


class Handfuls[Asked: Hashable, Answer]:
    def __init__(self, answer: Callable[[Sequence[Asked]], Awaitable[Mapping[Asked, Answer]]]) -> None:
        """`answer` is never called while it runs, and with nothing twice."""
        self._answer = answer
        self._waiting: list[tuple[Asked, asyncio.Future[Answer | None]]] = []
        self._answering: asyncio.Task[None] | None = None

    async def ask(self, asked: Asked) -> Answer | None:
        """None where there is no answer, and for all but the first who ask the same at once. What `answer` raises is
        raised to all whom it was to answer."""
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                try:
                    answers = dict(await self._answer(list({asked for asked, _ in waiting})))
                except Exception as error:
                    for _, future in waiting:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for asked, future in waiting:
                    if not future.done():  # one that was cancelled leaves the answer to nobody
                        future.set_result(answers.pop(asked, None))
        finally:
            self._answering = None
