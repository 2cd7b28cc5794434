"""The write lane's end: the commit happens as a successful answer would begin, and the client learns how it ended.

The answer to a request with an idempotency key is held back whole, since it is kept in the same transaction.
"""

from typing import Any

from litestar.types import HTTPScope, Message, Send

from core.http.idempotency import ANSWER_BYTES, CLAIM, Claim, kept_answer
from core.http.methods import SAFE
from core.http.problems import answer_for
from core.tasks.broker import Bell
from core.tasks.context import Ctx

FIRST_ERROR = 400


class CommittingSend:
    """What a route sends through. After a commit that fails, the client gets the problem instead of the success."""

    def __init__(self, ctx: Ctx, bell: Bell, scope: HTTPScope, send: Send) -> None:
        self._ctx = ctx
        self._bell = bell
        self._scope = scope
        self._send = send
        self._held: Any = None
        """The start of an answer that waits for its body."""
        self._body = bytearray()
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self._held is not None and message["type"] == "http.response.body":
            await self._collect(message)
        else:
            await self._send(message)

    async def _begin(self, start: Any) -> None:
        claim: Claim | None = self._scope["state"].get(CLAIM)
        if claim is not None and start["status"] < FIRST_ERROR:
            self._held = start
        elif await self._ends_well(succeeded=start["status"] < FIRST_ERROR):
            await self._send(start)

    async def _collect(self, message: Any) -> None:
        """Keep the answer once it is whole. One that is too long is let go, and its key remembered without it."""
        self._body += message.get("body", b"")
        more = message.get("more_body", False)
        if more and len(self._body) <= ANSWER_BYTES:
            return
        start, self._held = self._held, None
        body = bytes(self._body)
        if await self._ends_well(succeeded=True, held=start, body=None if len(body) > ANSWER_BYTES else body):
            await self._send(start)
            await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _ends_well(self, *, succeeded: bool, held: Any = None, body: bytes | None = None) -> bool:
        """Whether the transaction is over as the answer says. Where it is not, the client has been told."""
        try:
            if held is not None:
                claim: Claim = self._scope["state"][CLAIM]
                answer = None if body is None else kept_answer(held["status"], held["headers"], body)
                await claim.keep(self._ctx, answer)
            await (self._ctx.commit() if succeeded else self._ctx.rollback())
        except Exception as error:
            self._replaced = True
            await answer_for(error, self._scope).send(self._send)
            return False
        if succeeded and self._scope["method"] not in SAFE:
            await self._ctx.tell_written()
        if self._ctx.has_jobs and succeeded:
            self._bell.ring()
        return True
