"""What the two local servers share: one owner per directory, a private socket, a bounded start, a clean stop."""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from core.local.process import Account, end, spawn

START_PATIENCE = 120.0  # seconds; crash recovery of a full write-ahead log is the slowest honest start
STOP_PATIENCE = 30.0
HANDOVER_PATIENCE = 15.0  # for a server whose supervisor was killed a moment ago, and which is still closing
_POLL = 0.01
_QUOTED_LINES = 12

# Not TMPDIR: a socket's address holds 103 bytes at most, and the user who runs the server must be able to reach it.
_SOCKETS_PARENT = "/tmp"  # noqa: S108 - mkdtemp makes a private directory in it
_SOCKETS_PREFIX = "plugs-"


class ServerError(Exception):
    """A local server can't do its work; the message says what failed and how to mend it."""


class Server(ABC):
    """A server that runs as our child on a private unix socket, at most once per directory.

    The lock on the directory is inherited by the server itself, so it is held until the server is really gone, even
    when we are killed. `start` after a crash of the server keeps the address.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    passing_trouble: ClassVar[str | None] = None  # words in the log of a start that is worth another try

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / f"{self.name.lower()}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._sockets: Path | None = None
        self._launched = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def sockets(self) -> Path:
        """The private directory of the socket; it exists from `start` to `stop`."""
        if self._sockets is None:
            raise ServerError(f"{self.name} has not been started.")
        return self._sockets

    @property
    def url(self) -> str:
        return self._url_in(self.sockets)

    def find_running(self) -> str | None:
        """The URL of the server that another process keeps on this directory; None where none does."""
        try:
            holder, sockets = self._lock_file.read_text().split("\n")[:2]
        except (OSError, ValueError):
            return None
        runs = holder.isdigit() and _is_alive(int(holder)) and sockets and Path(sockets).is_dir()
        return self._url_in(Path(sockets)) if runs else None

    @property
    def _lock_file(self) -> Path:
        return self.directory / f"{self.name.lower()}.lock"

    @abstractmethod
    def _url_in(self, sockets: Path) -> str: ...

    @abstractmethod
    def _prepare(self) -> Account | None:
        """Make ready what the command needs; answers whom the server runs as, None being ourselves."""

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server accepts work; asked every few milliseconds while it starts."""

    def start(self) -> str:
        """Its URL, as soon as it accepts connections. Call it from the main thread (see `spawn`)."""
        if self.running:
            return self.url
        try:
            self._take_directory()
            if self.log.exists():
                self.log.replace(self.log.with_name(f"{self.log.name}.1"))
            account = self._prepare()
            self._open_sockets(account)
            self._launch(account)
        except (OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise ServerError(f"{self.name} can't be started in {self.directory}: {error}.") from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """End the server in good order and give the directory back; harmless when it isn't running."""
        if self._process is not None:
            end(self._process, self.stop_signal, grace=STOP_PATIENCE)
            self._process = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def _take_directory(self) -> None:
        if self._lock is not None:
            return  # a start after a crash: it never stopped being ours
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._lock_file
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._wait_for(lock, path)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        self._forget_sockets_of_a_killed_run(path)
        self._sign_lock(lock)

    def _wait_for(self, lock: int, path: Path) -> None:
        deadline = time.monotonic() + HANDOVER_PATIENCE
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _first_number(path)
                if time.monotonic() >= deadline or (holder is not None and _is_alive(holder)):
                    raise ServerError(
                        f"The Plugs already runs here: pid {holder or 'unknown'} uses {self.directory}. "
                        "Stop that one, or choose another directory."
                    ) from None
            time.sleep(_POLL)

    def _sign_lock(self, lock: int) -> None:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n{self._sockets or ''}\n".encode(), 0)

    def _forget_sockets_of_a_killed_run(self, path: Path) -> None:
        left = path.read_text().splitlines()[1:2]
        for sockets in map(Path, left):
            if sockets.parent == Path(_SOCKETS_PARENT) and sockets.name.startswith(_SOCKETS_PREFIX):
                shutil.rmtree(sockets, ignore_errors=True)

    def _open_sockets(self, account: Account | None) -> None:
        if self._sockets is None:
            self._sockets = Path(tempfile.mkdtemp(prefix=_SOCKETS_PREFIX, dir=_SOCKETS_PARENT))
            if account:
                os.chown(self._sockets, *account)
        for left in self._sockets.iterdir():  # by a server that crashed
            left.unlink()
        if self._lock is not None:
            self._sign_lock(self._lock)

    def _launch(self, account: Account | None) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not self._try_launch(account, deadline):
            trouble = self._quote_log()
            if time.monotonic() >= deadline:
                raise ServerError(f"{self.name} did not answer within {START_PATIENCE:.0f} s. {trouble}")
            if self.passing_trouble is None or self.passing_trouble not in trouble:
                raise ServerError(f"{self.name} ended while it started (exit code {self.returncode}). {trouble}")
            time.sleep(10 * _POLL)

    def _try_launch(self, account: Account | None, deadline: float) -> bool:
        self._launched = time.time()
        self._process = self._spawn(self._command(), account)
        while self.running and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(_POLL)
        return False

    def _spawn(self, command: Sequence[str], account: Account | None) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return spawn(
                command,
                death_signal=self.stop_signal,
                env=minimal_environment(),
                account=account,
                cwd="/",  # where we stand may be closed to the account
                output=log,
                keep_open=() if self._lock is None else (self._lock,),
            )

    def _quote_log(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_QUOTED_LINES:]
        return f"The end of its log, {self.log}:\n" + "\n".join(f"  {line}" for line in lines)


def minimal_environment() -> dict[str, str]:
    """Nothing of ours but what the loader needs: no locale that may be missing, no PG* setting, no secret."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", **kept}


def _first_number(path: Path) -> int | None:
    first = path.read_text().partition("\n")[0]
    return int(first) if first.isdigit() else None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
