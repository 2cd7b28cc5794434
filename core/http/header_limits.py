"""A limit on a request's headers, all together. Plain ASGI around the application."""

from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

from core.http.problems import answer_for


class HeaderLimit:
    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and sum([len(n) + len(v) for n, v in scope["headers"]]) > self._most_bytes:
            refusal = HTTPException("The headers are too large", status_code=431)
            await answer_for(refusal, scope).send(send)
            return
        await self._app(scope, receive, send)
