"""The process that has imported all that a command may import, and forks each command from itself.

Started by `core.testing.forking`, as `python preloaded.py LISTENER`, the number of a socket that it inherits. It has
one thread and no event loop. It imports when it is first asked, so that a run which never asks doesn't pay. It ends
when its stdin does, and takes along what it has forked.
"""

import atexit
import gc
import os
import select
import selectors
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from types import FrameType

from core.local.process import die_with
from core.testing.handover import answer, take_over
from core.testing.interpreter import Request, become, leave, note_ending, own_path

COMMANDS = ("core.app", "core.cli.database", "core.cli.doctor", "core.cli.events", "core.cli.new_module",
            "core.cli.reports", "core.cli.serving", "core.cli.up")  # fmt: skip
WHEN_FIRST_USED = (
    "alembic.command",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
)
"""What else a command imports, but not at its beginning."""
TESTS = ("pytest", "alembic.config", "httpx", "litestar.middleware._internal.exceptions", "litestar.plugins.attrs")
"""And none of `core.testing`: pytest rewrites its assertions when it imports it."""
WITH_PLUGINS = ("anyio", "core")
"""Packages that have a plugin of pytest, which warns of what it would have rewritten and is here before it."""
INSTALLING = (
    "pip._vendor.cachecontrol",
    "pip._vendor.distlib.scripts",
    "pip._vendor.pkg_resources",
    "pip._vendor.pyproject_hooks",
    "pip._vendor.requests",
    "pip._vendor.resolvelib",
    "pip._vendor.rich.progress",
)
"""And no more of pip: its own modules remember whose home and whose environment they were imported in."""
HAND_OVER_SECONDS = 10.0
LIFELINE = 0
"""stdin, of which the tests' process has the other end."""


class Forks:
    """Takes requests, and forks a process for each."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._askers: dict[int, socket.socket] = {}
        """By the id of the process that runs for them."""
        self._ended, wake = socket.socketpair()
        wake.setblocking(False)
        self._wake = wake
        signal.signal(signal.SIGCHLD, _heard)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._selector = selectors.DefaultSelector()
        for file in (LIFELINE, self._ended, listener):
            self._selector.register(file, selectors.EVENT_READ)

    def serve(self) -> Request | None:
        """Returns in each process that it forks, with what that is to run; and at last with None, in this one."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == LIFELINE:
                    return self._end_all()
                if key.fileobj is self._listener:
                    if (request := self._fork()) is not None:
                        return request
                elif key.fileobj is self._ended:
                    self._ended.recv(4096)
                    self._reap()
                elif key.data in self._askers:  # or it has been reaped since
                    self._obey(key.data)

    def _fork(self) -> Request | None:
        asker, _ = self._listener.accept()
        asker.settimeout(HAND_OVER_SECONDS)
        try:
            request = Request(*take_over(asker))
        except OSError:
            return asker.close()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            die_with(parent, signal.SIGKILL)
            asker.close()
            self._let_go()
            return request
        for file in request.files:
            os.close(file)
        self._askers[pid] = asker
        self._selector.register(asker, selectors.EVENT_READ, pid)
        with suppress(OSError):  # it went away: as is read next
            answer(asker, pid)
        return None

    def _let_go(self) -> None:
        """In a child, of all that is its parent's."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for file in (self._listener, self._ended, self._wake, *self._askers.values()):
            file.close()

    def _obey(self, pid: int) -> None:
        try:
            numbers = self._askers[pid].recv(64)
        except OSError:
            numbers = b""
        for number in numbers:
            os.kill(pid, number)
        if not numbers:
            self._selector.unregister(self._askers[pid])
            _kill(pid)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                asker = self._askers.pop(ended[0])
                with suppress(KeyError):  # it was told to go, as its asker went
                    self._selector.unregister(asker)
                with suppress(OSError):
                    answer(asker, os.waitstatus_to_exitcode(ended[1]))
                asker.close()

    def _end_all(self) -> None:
        for pid in self._askers:
            _kill(pid)
        for pid in self._askers:
            os.waitpid(pid, 0)


def _heard(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor has told already: a signal that nothing handles is not written to it."""


def _kill(pid: int) -> None:
    """With all that is left of its session. It has not been reaped, so the number is still its own."""
    os.kill(pid, signal.SIGKILL)  # it may not have come to a session of its own yet
    with suppress(ProcessLookupError, PermissionError):  # as macOS says that only zombies are left
        os.killpg(pid, signal.SIGKILL)


def preload() -> None:
    for name in (*COMMANDS, *WHEN_FIRST_USED, *TESTS):
        import_module(name)
    for name in INSTALLING:
        with suppress(ImportError):  # not every environment has pip
            import_module(name)
    for point in entry_points(group="plugs.modules"):
        with suppress(Exception):  # one that can't be imported says so where it is discovered
            point.load()
    for name in WITH_PLUGINS:
        sys.modules[name].__doc__ = "PYTEST_DONT_REWRITE"
    gc.freeze()  # so that no collection in a child touches, and thereby copies, what all of them share


def main() -> None:
    atexit.register(leave)  # the first, and so the last that is called
    sys.path.pop(0)  # the folder of this file
    path = own_path()
    listener = socket.socket(fileno=int(sys.argv[1]))
    if LIFELINE in select.select([LIFELINE, listener], [], [])[0]:
        os._exit(0)
    preload()
    asked = Forks(listener).serve()
    if asked is None:
        os._exit(0)
    note_ending(partial(become, asked, path=path))


if __name__ == "__main__":
    main()
