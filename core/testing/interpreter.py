"""What an interpreter does at its start and at its end, done by a process that was forked from a running one."""

import os
import runpy
import signal
import site
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib import invalidate_caches, reload
from pathlib import Path
from typing import NamedTuple, Never

from core.local.process import reset_signals


class Request(NamedTuple):
    """A command, and what it is to see. See `core.testing.handover`."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    files: list[int]


def own_path() -> list[str]:
    """Where this interpreter looks by itself: its standard library. Asked of it once, when it has just started."""
    asked_for = {*os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    installed = {*site.getsitepackages(), *_added_by_site()}
    return [folder for folder in sys.path if folder not in asked_for | installed]


def become(request: Request, *, path: Sequence[str]) -> None:
    """The command, in a process that looks as if the interpreter beside it had been started for it."""
    reset_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(request.files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    sys.dont_write_bytecode = bool(request.env.get("PYTHONDONTWRITEBYTECODE"))
    program = Path(request.argv[0])
    if str(program.parent) != str(Path(sys.executable).parent):
        _move_to(program.parent)
    first = filter(None, request.env.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [str(program.parent), *first, *path]
    sys.path += [folder for folder in _added_by_site() if folder not in sys.path]
    invalidate_caches()
    sys.argv = request.argv
    PROGRAMS[program.name](request.argv[1:])


def _move_to(programs: Path) -> None:
    """To the virtual environment that has these programs."""
    sys.executable = str(programs / "python")
    sys.prefix = sys.exec_prefix = str(programs.parent)
    site.PREFIXES[:] = [sys.prefix]
    reload(sysconfig)  # it remembers the prefix


def _added_by_site() -> list[str]:
    """The folders of the environment's packages, and what their `.pth` files add."""
    before, sys.path[:] = sys.path[:], []
    for folder in site.getsitepackages():
        site.addsitedir(folder)
    added, sys.path[:] = sys.path[:], before
    return added


def _plugs(_: Sequence[str]) -> None:
    from core.cli import main

    main()


def _pytest(_: Sequence[str]) -> Never:
    import pytest

    sys.exit(pytest.console_main())


def _pip(_: Sequence[str]) -> Never:
    from pip._internal.cli.main import main

    sys.exit(main())


def _python(arguments: Sequence[str]) -> None:
    """`python FILE …` or `python -m MODULE …`."""
    if arguments[0] == "-m":
        sys.argv, sys.path[0] = list(arguments[1:]), str(Path.cwd())
        sys.modules.pop(arguments[1], None)  # it is to run as if nobody had imported it
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = list(arguments), str(Path(arguments[0]).resolve().parent)
        runpy.run_path(arguments[0], run_name="__main__")


PROGRAMS: dict[str, Callable[[Sequence[str]], None]] = {
    "plugs": _plugs,
    "pytest": _pytest,
    "pip": _pip,
    "python": _python,
}
"""The commands that can be forked."""

_endings: list[int] = []
"""What this process ends with, once that is known."""


def note_ending(command: Callable[[], None]) -> None:
    """Run what may be a process's last deed, and note what `leave` is to say of it."""
    try:
        command()
    except SystemExit as ended:
        _endings.append(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise
    except KeyboardInterrupt:
        raise  # only the interpreter itself ends as one that was interrupted
    except BaseException:
        _endings.append(1)
        raise
    _endings.append(0)


def leave() -> None:
    """To be called last at an exit. The interpreter would go on to take apart, module by module, what is shared with
    the process that this one was forked from, and thereby copy it."""
    for code in _endings:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)
