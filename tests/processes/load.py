"""Load on a deployment: mixed requests from several callers at once, and how each of them fared."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import httpx
from msgspec import Struct

from core.testing.processes import Member

CALLERS = 4
PAUSE_SECONDS = 0.025
"""Between a caller's answer and its next request. The machine is kept busy, and other tests are left some of it."""
CSV = b"first_name,last_name,email\nAda,Import,ada@import.example\nBen,Import,ben@import.example\n"


class Answer(Struct, frozen=True):
    kind: str
    status: int
    """0 where there was no answer at all."""
    at: float
    seconds: float
    retry_after: bool


class Load:
    """Creates, enqueues, imports and lists, in turns. `acknowledged` has what was answered with a success."""

    def __init__(self, member: Member) -> None:
        self.answers: list[Answer] = []
        self.contacts: list[str] = []
        self.entries: list[int] = []
        self.imports: list[str] = []
        self.member = member
        self._numbers = count()

    async def one(self, number: int) -> None:
        client, loop = self.member.client, asyncio.get_running_loop()
        started = loop.time()
        kind = ("create", "enqueue", "list", "enqueue", "list", "import")[number % 6]
        try:
            answer = await self._request(client, kind, number)
        except httpx.TransportError:
            self.answers.append(Answer(kind, 0, started, loop.time() - started, retry_after=False))
            return
        retry_after = "retry-after" in answer.headers
        self.answers.append(Answer(kind, answer.status_code, started, loop.time() - started, retry_after))
        if not answer.is_success:
            return
        match kind:
            case "create":
                self.contacts.append(answer.json()["id"])
            case "enqueue":
                self.entries.append(number)
            case "import":
                self.imports.append(answer.json()["id"])
            case _:
                pass

    @staticmethod
    async def _request(client: httpx.AsyncClient, kind: str, number: int) -> httpx.Response:
        match kind:
            case "create":
                return await client.post("/api/v1/networking/contacts", json={"first_name": f"N{number}"})
            case "enqueue":
                return await client.post("/api/v1/ledger/entries", json={"number": number})
            case "import":
                return await client.post("/api/v1/networking/imports", files={"file": ("a.csv", CSV, "text/csv")})
            case _:
                return await client.get("/api/v1/networking/contacts", params={"limit": 20})

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Requests keep coming while this is open; each gets its answer before it closes."""
        over = asyncio.Event()

        async def call() -> None:
            while not over.is_set():
                await self.one(next(self._numbers))
                await asyncio.sleep(PAUSE_SECONDS)

        callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*callers)

    @staticmethod
    def figures(answers: list[Answer]) -> str:
        failed = sum(not 200 <= answer.status < 300 for answer in answers)
        return f"{len(answers)} requests, {failed} failed, p99 {p99(answers) * 1000:.0f} ms"

    def since(self, at: float, until: float = float("inf")) -> list[Answer]:
        """Requests that were sent within this span of the loop's time."""
        return [answer for answer in self.answers if at <= answer.at < until]


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def p99(answers: list[Answer]) -> float:
    """Seconds that 99 of 100 requests stay below."""
    seconds = sorted(answer.seconds for answer in answers)
    return seconds[int(len(seconds) * 0.99)]
