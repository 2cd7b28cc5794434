"""Log lines on their way out. What informs waits a moment, so that many go in one write: on a busy process each write
costs as much as what it tells of. What warns goes out at once, after all that came before it.

A process that is killed outright loses what informed in its last moment, and nothing that warned.
"""

import asyncio
import atexit
import threading
import time
from typing import TextIO

HELD_SECONDS = 0.05


class Lines:
    """What structlog calls a logger: one method for each level. Threads may share it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._held: list[str] = []
        self._held_since = 0.0
        self._lock = threading.Lock()
        atexit.register(self.flush)

    def info(self, line: str) -> None:
        with self._lock:
            if not self._held:
                self._held_since = time.monotonic()
                is_awaited = self._flush_later()
            else:  # whoever promised to flush may have gone meanwhile, with its loop
                is_awaited = time.monotonic() - self._held_since < HELD_SECONDS * 2
            self._held.append(line)
        if not is_awaited:
            self.flush()

    def warning(self, line: str) -> None:
        with self._lock:
            self._held.append(line)
        self.flush()

    debug = msg = info
    warn = error = exception = critical = fatal = failure = warning

    def flush(self) -> None:
        with self._lock:
            if self._held and not self._file.closed:
                self._file.write("\n".join([*self._held, ""]))
                self._file.flush()
            self._held.clear()

    def _flush_later(self) -> bool:
        try:
            asyncio.get_running_loop().call_later(HELD_SECONDS, self.flush)
        except RuntimeError:  # nobody here to do it
            return False
        return True
