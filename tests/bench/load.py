"""A load generator: so many connections, each with one request under way, for so long.

It runs as a process of its own, reads a `Load` as JSON from its input and writes a `Result` to its output.
"""

import asyncio
import contextlib
import sys
import time
from itertools import count

import httptools
import msgspec
import uvloop
from msgspec import Struct


class Request(Struct, frozen=True, kw_only=True):
    """`{n}` in path and body stands for a number that is another one in each request."""

    method: str = "GET"
    path: str
    headers: dict[str, str] = {}
    body: str = ""


class Load(Struct, frozen=True, kw_only=True):
    host: str
    port: int
    requests: list[Request]
    """Sent in turns."""
    connections: int = 16
    seconds: float = 3.0
    warm_up: float = 0.5
    """Seconds before that, which don't count."""
    first_number: int = 0


class Result(Struct, frozen=True, kw_only=True):
    seconds: float
    succeeded: int
    failed: int
    statuses: dict[str, int]
    latencies: list[float]
    """In seconds, of those that succeeded, sorted."""

    @property
    def per_second(self) -> float:
        return self.succeeded / self.seconds

    def percentile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))] if self.latencies else 0.0


class Run:
    """What the connections share."""

    def __init__(self, load: Load) -> None:
        self._numbers = count(load.first_number)
        self._templates = [self._encoded(load, request) for request in load.requests]
        self.counting = False
        self.latencies: list[float] = []
        self.statuses: dict[str, int] = {}

    @staticmethod
    def _encoded(load: Load, request: Request) -> tuple[Request, str]:
        headers = {"host": f"{load.host}:{load.port}", **request.headers}
        return request, "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    def next_request(self) -> bytes:
        number = next(self._numbers)
        request, headers = self._templates[number % len(self._templates)]
        body = request.body.replace("{n}", str(number)).encode()
        length = f"content-length: {len(body)}\r\n" if body else ""
        head = f"{request.method} {request.path.replace('{n}', str(number))} HTTP/1.1\r\n{headers}{length}\r\n"
        return head.encode() + body

    def note(self, status: int, seconds: float) -> None:
        if self.counting:
            self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1
            if status < 400:
                self.latencies.append(seconds)


class Connection(asyncio.Protocol):
    def __init__(self, run: Run) -> None:
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        assert self._transport is not None
        self._transport.write(self._run.next_request())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._run.note(self._parser.get_status_code(), time.perf_counter() - self._sent_at)
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def drive(load: Load) -> Result:
    run, loop = Run(load), asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: Connection(run), load.host, load.port))[1]
        for _ in range(load.connections)
    ]
    await asyncio.sleep(load.warm_up)
    run.counting, started = True, time.perf_counter()
    await asyncio.sleep(load.seconds)
    run.counting, seconds = False, time.perf_counter() - started
    for connection in connections:
        with contextlib.suppress(RuntimeError):
            connection.close()
    succeeded = len(run.latencies)
    return Result(
        seconds=seconds,
        succeeded=succeeded,
        failed=sum(run.statuses.values()) - succeeded,
        statuses=run.statuses,
        latencies=sorted(run.latencies),
    )


def main() -> None:
    load = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.buffer.write(msgspec.json.encode(runner.run(drive(load))))


if __name__ == "__main__":
    main()
