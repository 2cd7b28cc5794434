"""Processes of `plugs` without the second that their imports take: each is forked from one that has made them.

What runs in them is what the command runs, with an environment, a directory and a session of their own. As it is
installed, the command is run by what `plugs up` starts, and by the tests of the documentation.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import invalidate_caches
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from core.local.process import die_with, reset_signals

FORKING = multiprocessing.get_context("forkserver")
"""For processes of other programs, too."""
FORKING.set_forkserver_preload(["core.testing.preloaded"])


class ForkedPlugs:
    """One process of `plugs`, from its first line on. It ends with the process that started it, whatever happens."""

    def __init__(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path, errors: Path | None = None
    ) -> None:
        """stdout is added to `output`; so is stderr, but for where `errors` names another file."""
        files = (str(output), str(errors or output))
        for file in files:
            Path(file).touch()
        self._process: ForkServerProcess = FORKING.Process(
            target=_become_plugs, args=(tuple(arguments), dict(env), str(cwd), files), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    def poll(self) -> int | None:
        """Its exit code, or the number of the signal that ended it as a negative one; None as long as it runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        self._process.join(seconds)
        return self.poll()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, to it and to all that is left of its session."""
        self.send_signal(signal.SIGKILL)  # it may not have come to a session of its own yet
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def _become_plugs(arguments: Sequence[str], env: Mapping[str, str], cwd: str, files: tuple[str, str]) -> None:
    """What an interpreter would have set up by itself had it been started for this command."""
    os.setsid()
    reset_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    die_with(os.getppid(), signal.SIGKILL)
    os.chdir(cwd)
    for number, name in ((1, files[0]), (2, files[1])):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    from core.testing.preloaded import PATH

    sys.path[:] = [*filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *PATH]
    invalidate_caches()
    sys.argv = ["plugs", *arguments]
    from core.cli import main

    main()
