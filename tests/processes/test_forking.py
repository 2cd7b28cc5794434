"""What is forked can't be told from what is started: by what it is, by what it says, and by how it ends."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.testing.forking import make_environment
from core.testing.waiting import until

WHO = """
import json, os, signal, site, sys, sysconfig, threading
from importlib.metadata import entry_points
print(json.dumps({
    "arguments": sys.argv,
    "bytecode": sys.dont_write_bytecode,
    "environment": {name: value for name, value in os.environ.items() if name != "_"},
    "files": sorted(int(file) for file in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{file}")),
    "folder": os.getcwd(),
    "masked": [*signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    "modules": [found.value for found in entry_points(group="plugs.modules")],
    "name": __name__,
    "of its own": os.path.dirname(sys.executable),
    "path": sys.path,
    "places": sysconfig.get_paths(),
    "prefixes": [sys.prefix, sys.exec_prefix, sys.base_prefix, *site.getsitepackages()],
    "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
    "threads": threading.active_count(),
}))
"""
ENDINGS = {
    "well": "print('done')",
    "with a code": "import sys; sys.exit(3)",
    "with a large code": "import sys; sys.exit(300)",
    "with a sentence": "import sys; sys.exit('no')",
    "with an error": "1 / 0",
    "at once": "import os; print('lost', end=''); os._exit(7)",
    "by a signal": "import os; os.kill(os.getpid(), 15)",
    "by being killed": "import os; os.kill(os.getpid(), 9)",
    "interrupted": "import os, time; os.kill(os.getpid(), 2); time.sleep(9)",
    "after what it has registered": "import atexit; atexit.register(print, 'last'); print('first')",
    "after its threads": "import threading; threading.Timer(0.1, print, ['late']).start(); print('early')",
    "having read": "print(input() * 2)",
}
WAITS = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _nothing_ignored() -> Iterator[None]:
    """A shell that starts a run in the background may have it ignore these, and so would all that the run starts."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGINT, signal.SIGQUIT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def bin_(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("reader")) / "bin"


def said_by(python: Path, here: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [python, "program.py", "a", "-b", "ü"]
    env = os.environ | {"VIRTUAL_ENV": str(python.parent.parent)} | more
    return subprocess.run(command, cwd=here, env=env, input="ab\n", capture_output=True, text=True, check=False)


def test_a_forked_interpreter_is_like_one_that_was_started(bin_: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WHO)
    more = {"PYTHONPATH": f"{tmp_path}/one:{tmp_path}/two", "PYTHONDONTWRITEBYTECODE": "1"}

    forked, started = (json.loads(said_by(bin_ / name, tmp_path, **more).stdout) for name in ("python", "python3"))

    assert forked == started
    assert forked["prefixes"][0] == str(bin_.parent)
    assert forked["files"] == [0, 1, 2]


@pytest.mark.parametrize("program", ENDINGS.values(), ids=ENDINGS)
def test_a_forked_command_ends_as_one_that_was_started(bin_: Path, tmp_path: Path, program: str) -> None:
    (tmp_path / "program.py").write_text(program)

    forked, started = (said_by(bin_ / name, tmp_path) for name in ("python", "python3"))

    assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
    assert forked.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]


def test_what_is_no_program_is_the_interpreter_s_own_business(bin_: Path) -> None:
    said = subprocess.check_output([bin_ / "python", "-c", "import sys; print('core' in sys.modules, sys.prefix)"])

    assert said.decode() == f"False {bin_.parent}\n"


@pytest.fixture
def waiting(bin_: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "waits.py").write_text(WAITS)
    with subprocess.Popen([bin_ / "python", "waits.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def child_of(process: subprocess.Popen[str]) -> psutil.Process:
    assert process.stdout is not None
    return psutil.Process(int(process.stdout.readline()))


def has_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_signal_to_the_command_reaches_what_was_forked_for_it(waiting: subprocess.Popen[str]) -> None:
    child = child_of(waiting)

    waiting.send_signal(signal.SIGTERM)

    assert waiting.wait(10) == 5
    child.kill()


async def test_with_the_command_that_is_killed_goes_all_that_was_forked_for_it(waiting: subprocess.Popen[str]) -> None:
    child = child_of(waiting)
    forked = child.parent()
    assert forked is not None

    waiting.kill()

    await until(lambda: has_gone(child) and has_gone(forked), within=10)
    assert waiting.wait(10) == -signal.SIGKILL
