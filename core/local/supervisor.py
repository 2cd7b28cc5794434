"""Keeps the processes of `plugs up` alive, and ends them in order."""

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Protocol, Self

from core.local.process import kill_group, spawn
from core.local.server import ServerError

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds before a restart; doubled each time
GOOD_LIFE = 10.0  # seconds of life after which the delay starts small again
QUICK_DEATH, QUICK_DEATHS_ALLOWED = 1.0, 5  # a service that dies within a second, five times in a row, is broken
_READY_POLL = 0.05


@dataclass(frozen=True)
class Service:
    """A command that is to run for as long as the supervisor does; its output is ours."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Laid over the environment of this process."""
    grace: float = 30.0
    """Seconds between SIGTERM and SIGKILL."""
    ready: Callable[[], bool] | None = None
    """Whether it serves; asked often until it says yes once, so it must be quick. None: as soon as it is started."""


class Kept(Protocol):
    """What can be kept alive: a service's process, or a local server that was started before."""

    @property
    def name(self) -> str: ...
    @property
    def running(self) -> bool: ...
    @property
    def returncode(self) -> int | None: ...
    def start(self) -> object: ...


class Supervisor:
    """Runs services as children, restarts one that dies, stops all of them on SIGTERM, SIGINT or SIGHUP."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def run(
        self,
        services: Sequence[Service],
        *,
        servers: Sequence[Kept] = (),
        on_ready: Callable[[], None] | None = None,
    ) -> int:
        """Block until a signal ends it (0), or until something can't be kept alive (1).

        Services start in the given order and stop in the reverse one. `servers` run already: one that dies is
        started again, but stopping them is left to whoever started them. `on_ready` is called once, when every
        service is ready. A second SIGINT kills instead of waiting. To be called from the main thread.
        """
        children = [_Child(service) for service in services]
        with _Signals() as signals:
            try:
                self._keep(children, servers, signals, on_ready)
            except (ServerError, OSError, _BeyondHelpError) as error:
                self._tell(f"{error} Stopping everything.")
                return 1
            finally:
                self._stop(children, signals)
        return 0

    def _keep(
        self,
        children: Sequence["_Child"],
        servers: Sequence[Kept],
        signals: "_Signals",
        on_ready: Callable[[], None] | None,
    ) -> None:
        for child in children:
            child.start()
            self._tell(f"{child.name} started (pid {child.pid}).")
        lives = [_Life(kept, self._tell) for kept in (*servers, *children)]
        waiting_for = list(children)
        while not signals.stop_requested:
            for life in lives:
                life.tend()
            waiting_for = [child for child in waiting_for if not child.ready]
            if on_ready and not waiting_for:
                on_ready()
                on_ready = None
            next_restart = min((life.again_at for life in lives if life.again_at is not None), default=None)
            signals.wait(_seconds_until(next_restart, at_most=_READY_POLL if waiting_for else None))

    def _stop(self, children: Sequence["_Child"], signals: "_Signals") -> None:
        for child in reversed(children):
            if child.running:
                self._tell(f"Stopping {child.name}.")
                child.terminate()
            deadline = time.monotonic() + child.grace
            while child.running and not signals.impatient and time.monotonic() < deadline:
                signals.wait(_seconds_until(deadline))
            if child.running:
                self._tell(f"{child.name} is still there; killing it.")
            child.kill()

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # a terminal or pipe that was closed must not end the services without order
            self._say(text)


class _BeyondHelpError(Exception):
    """Something dies faster than restarting it makes sense."""


class _Child:
    """The process of a service, and after a restart the next one."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.name = service.name
        self.grace = service.grace
        self._process = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process else None

    @property
    def ready(self) -> bool:
        return self.running and (self._service.ready is None or self._service.ready())

    def start(self) -> None:
        self.kill()  # what its predecessor started may still hold its port
        env = {**os.environ, **self._service.env}
        self._process = spawn(self._service.command, death_signal=signal.SIGTERM, env=env)

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            kill_group(self._process)


class _Life:
    """How one of them fares: since when it lives, or when it may live again (both on the monotonic clock)."""

    def __init__(self, kept: Kept, say: Callable[[str], None]) -> None:
        self._kept = kept
        self._say = say
        self._since = time.monotonic()
        self._delay = FIRST_DELAY
        self._quick_deaths = 0
        self.again_at: float | None = None

    def tend(self) -> None:
        if self._kept.running:
            return
        now = time.monotonic()
        if self.again_at is None:
            self._bury(now)
        elif now >= self.again_at:
            self.again_at = None
            self._since = now
            self._kept.start()

    def _bury(self, now: float) -> None:
        lived = now - self._since
        ending = f"{self._kept.name} {_describe_end(self._kept.returncode)}"
        self._quick_deaths = self._quick_deaths + 1 if lived < QUICK_DEATH else 0
        if self._quick_deaths >= QUICK_DEATHS_ALLOWED:
            raise _BeyondHelpError(
                f"{ending}, the {QUICK_DEATHS_ALLOWED}th time in a row within {QUICK_DEATH:.0f} s of its start."
            )
        if lived >= GOOD_LIFE:
            self._delay = FIRST_DELAY
        self._say(f"{ending}; starting it again in {self._delay:.1f} s.")
        self.again_at = now + self._delay
        self._delay = min(2 * self._delay, LONGEST_DELAY)


class _Signals:
    """Signals as something to wait for, none of them lost between two waits.

    Python's own handler writes a byte to the wake-up descriptor the moment a signal comes, whichever thread it hits,
    so a signal that comes before `wait` ends that wait at once.
    """

    def __enter__(self) -> Self:
        self._requests: list[int] = []
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._old_descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        numbers = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        self._old_handlers = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_descriptor)
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._requests.append(number)

    @property
    def stop_requested(self) -> bool:
        return bool(self._requests)

    @property
    def impatient(self) -> bool:
        return signal.SIGINT in self._requests[1:]

    def wait(self, seconds: float | None) -> None:
        """Until any signal comes, or `seconds` have passed; None waits for a signal only."""
        self._reader.settimeout(seconds)
        with suppress(TimeoutError, BlockingIOError):
            self._reader.recv(4096)


def _seconds_until(moment: float | None, *, at_most: float | None = None) -> float | None:
    """None when there is nothing to wait for but a signal."""
    left = None if moment is None else max(0.0, moment - time.monotonic())
    return min((seconds for seconds in (left, at_most) if seconds is not None), default=None)


def _describe_end(returncode: int | None) -> str:
    match returncode:
        case None:
            return "is not running"
        case code if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        case code:
            return f"ended with exit code {code}"
