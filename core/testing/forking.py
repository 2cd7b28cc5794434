"""Processes without the second that their imports take: each is forked from one that has made them.

What runs in them is what the command runs, with an environment, a directory and a session of their own. As it is
installed, `plugs` is run by `plugs up` for its services, in `tests/processes/test_up.py`.
"""

import atexit
import os
import signal
import site
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import venv
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from core.testing import handover
from core.testing.interpreter import PROGRAMS

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
END_SECONDS = 20.0


class Preloaded:
    """The process that all are forked from. It ends with this one, or with the one whose workers share it."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._address: str | None = None

    def share(self, address: str) -> None:
        """Let it be the one of another process."""
        self._address = address

    @property
    def address(self) -> str:
        """Where it is; started when first asked for."""
        with self._starting:
            self._address = self._address or self._start()
            return self._address

    def _start(self) -> str:
        folder = tempfile.TemporaryDirectory(prefix="plugs-", dir="/tmp")  # where an address is short enough
        address = f"{folder.name}/socket"
        with socket.socket(socket.AF_UNIX) as listener:  # it listens already, so nobody waits for the imports
            listener.bind(address)
            listener.listen(64)
            process = subprocess.Popen(  # noqa: S603 - our own
                [sys.executable, HERE / "preloaded.py", str(listener.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )

        @atexit.register
        def end() -> None:  # pyright: ignore[reportUnusedFunction]
            if process.stdin is not None:
                process.stdin.close()
            process.wait(END_SECONDS)
            folder.cleanup()

        return address


PRELOADED = Preloaded()


class Forked:
    """One process of a command, from its first line on. It ends with the process that started it, whatever happens."""

    def __init__(
        self, *command: str, env: Mapping[str, str], cwd: Path, output: Path | int, errors: Path | None = None
    ) -> None:
        """The command is one of `PROGRAMS`, of our own environment where it is a name and no path. stdout is added to
        `output`, a path or an open file's number; so is stderr, but for where `errors` names another.
        """
        argv = [str(BIN / command[0]), *command[1:]]
        with ExitStack() as stack:
            files = [stack.enter_context(Path(os.devnull).open("rb")).fileno()]
            files += [
                to if isinstance(to, int) else stack.enter_context(to.open("ab")).fileno()
                for to in (output, errors or output)
            ]
            self._connection = handover.hand_over(PRELOADED.address, argv, env=env, cwd=str(cwd), files=files)
        self.pid = handover.read_answer(self._connection)
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or the number of the signal that ended it as a negative one; None as long as it runs."""
        return self.wait(0)

    def wait(self, seconds: float | None = None) -> int | None:
        if self._code is None:
            self._connection.settimeout(seconds)
            with suppress(TimeoutError, BlockingIOError):
                self._code = handover.read_answer(self._connection)
                self._connection.close()
        return self._code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, to it and to all that is left of its session."""
        self.send_signal(signal.SIGKILL)  # it may not have come to a session of its own yet
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


def make_environment(home: Path) -> Path:
    """A virtual environment that has what ours has, and can be installed into without touching ours. Its commands are
    forked; `python3` is the interpreter itself."""
    venv.create(home, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    ours = "; ".join(f"site.addsitedir({folder!r})" for folder in site.getsitepackages())
    (packages / "ours.pth").write_text(f"import site; {ours}\n")
    for name in PROGRAMS:
        program = home / "bin" / name
        program.unlink(missing_ok=True)
        program.write_text(_PROGRAM.format(python=sys.executable, here=str(HERE), address=PRELOADED.address))
        program.chmod(0o755)
    return home


_PROGRAM = """#!{python} -IS
import sys
sys.path.append({here!r})
from handover import main
main({address!r})
"""
