"""What a package does to the world when it is imported: `python -m core.testing.import_watch PACKAGE …`.

The SDK is imported first; then each package gets a forked process of its own with an audit hook in it. What libraries
do at their own import is theirs: only what happens in the package's own lines counts. Prints JSON: deeds by package.
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from types import FrameType
from typing import Any

SECONDS = 60
WATCHED = {
    "socket.": "opened a socket",
    "subprocess.Popen": "started a process",
    "os.system": "started a process",
    "os.exec": "started a process",
    "os.posix_spawn": "started a process",
    "os.fork": "started a process",
    "_thread.start": "started a thread",
    "os.mkdir": "made a folder",
    "os.remove": "removed a file",
    "os.rename": "renamed a file",
    "os.rmdir": "removed a folder",
    "shutil.": "touched files",
    "sqlite3.connect": "opened a database",
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


_observed: dict[str, list[str]] = {}


def observed_imports(*packages: str) -> dict[str, list[str]]:
    """The deeds of each package, in a process that is none of this one's; one for all that weren't looked at before.

    Raises `CalledProcessError`.
    """
    if new := [package for package in packages if package not in _observed]:
        _observed.update(_observe(new))
    return {package: _observed[package] for package in packages}


def _observe(packages: list[str]) -> dict[str, list[str]]:
    told = subprocess.run(  # noqa: S603 # our own interpreter, names of packages
        [sys.executable, "-m", "core.testing.import_watch", *packages],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=True,
        timeout=SECONDS,
    )
    return json.loads(told.stdout)


class Watch:
    """An audit hook. It can't be taken off again, so it lives in a process that ends."""

    def __init__(self, package: str) -> None:
        self.deeds: list[str] = []
        self._package = package

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        deed = _deed(event, arguments)
        if deed is not None and (line := self._line_of(sys._getframe(1))) is not None:  # pyright: ignore[reportPrivateUsage]
            self.deeds.append(f"{line} {deed} ({event})")

    def _line_of(self, frame: FrameType | None) -> str | None:
        """The package's line that did it; None where it happens in a library's own import."""
        while frame is not None:
            name = str(frame.f_globals.get("__name__", ""))
            if name == self._package or name.startswith(f"{self._package}."):
                return f"{name}:{frame.f_lineno}"
            if frame.f_code.co_name == "<module>" and not name.startswith("importlib"):
                return None
            frame = frame.f_back
        return None


def _deed(event: str, arguments: tuple[Any, ...]) -> str | None:
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & WRITING)
        return "opened a file to write" if writes else None
    return next((deed for watched, deed in WATCHED.items() if event.startswith(watched)), None)


def watch(package: str) -> list[str]:
    """Import the package and tell its deeds."""
    hook = Watch(package)
    sys.addaudithook(hook)
    try:
        import_module(package)
    except BaseException as error:  # a module that exits is told of like any other
        hook.deeds.append(f"{package} raised {type(error).__name__}: {error}")
    return list(hook.deeds)


def watch_apart(package: str) -> list[str]:
    """The same in a child process, so that no package sees what another has done."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as answer:
            os.dup2(2, 1)  # what the package prints must not get into the answer
            deeds = watch(package)
            json.dump(deeds, answer)
            answer.flush()
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        told = answer.read()
    os.wait()
    return json.loads(told) if told else [f"{package} ended the process at import"]


if __name__ == "__main__":
    import core.sdk  # noqa: F401 # pyright: ignore[reportUnusedImport]

    print(json.dumps({package: watch_apart(package) for package in sys.argv[1:]}))  # noqa: T201
