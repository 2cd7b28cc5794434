"""Time limits of a request: a route that takes too long is given up (503), and a body that trickles in too (408).

What a route takes is counted until its answer starts, so a stream may go on for hours; it doesn't count what its
client takes to send the body, which has a limit of its own: some seconds of patience, and those that so many bytes
take on a slow line. A route that is given up is cancelled where it waits, and its transaction rolled back. The commit
comes after the count, so that nobody is told of a failure that was none.
"""

import asyncio

from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Send

from core.errors import TooSlow, Unavailable
from core.http.layers import Layer

SLOWEST_LINE = 4096
"""Bytes a second: a client that is slower than that, beyond the patience, is not waited for."""


class TimeLimits(Layer):
    """Stands inside of what commits."""

    def __init__(self, *, request_seconds: float, body_seconds: float) -> None:
        self._request_seconds = request_seconds
        self._body_seconds = body_seconds

    async def handle(self, scope: HTTPScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        limit = asyncio.timeout(self._request_seconds)

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.start" and not limit.expired():
                limit.reschedule(None)
            await send(message)

        body = _PacedBody(receive, limit, patience=self._body_seconds)
        try:
            async with limit:
                await next_app(scope, body, send_in_time)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Unavailable("It took too long and was given up", code="request-timeout") from error


class _PacedBody:
    """A `receive` that stops the route's clock while the client is sending, and waits for it only so long."""

    def __init__(self, receive: Receive, limit: asyncio.Timeout, *, patience: float) -> None:
        self._receive = receive
        self._limit = limit
        self._left = patience
        self._complete = False

    async def __call__(self) -> HTTPReceiveMessage:
        if self._complete:
            return await self._receive()  # type: ignore[return-value]
        loop = asyncio.get_running_loop()
        began, deadline = loop.time(), self._limit.when()
        self._pause(None)
        waiting = asyncio.timeout(self._left)
        try:
            async with waiting:
                message: HTTPReceiveMessage = await self._receive()  # type: ignore[assignment]
        except TimeoutError as error:
            if not waiting.expired():
                raise
            raise TooSlow(code="body-too-slow") from error
        finally:
            took = loop.time() - began
            self._pause(None if deadline is None else deadline + took)
        self._left += len(message.get("body", b"")) / SLOWEST_LINE - took
        self._complete = not message.get("more_body", False)
        return message

    def _pause(self, until: float | None) -> None:
        if not self._limit.expired():
            self._limit.reschedule(until)
