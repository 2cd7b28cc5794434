"""The supervisor of `plugs up`: what it starts stays up, and ends in order when it is told to end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from watching import eventually, is_gone

from core.local import supervisor
from core.local.server import ServerError
from core.local.supervisor import Service, Supervisor

PRELUDE = """
import signal, sys
from functools import partial
from pathlib import Path
from core.local import supervisor
from core.local.redis import LocalRedis
from core.local.supervisor import Service, Supervisor
say = partial(print, flush=True)
here = Path.cwd()
def shell(name, script, **options):
    return Service(name, ["/bin/sh", "-c", script], **options)
"""

# Notes its pid, and its name once it is asked to stop.
STAYS = "trap 'echo $NAME >> stopped; exit 0' TERM; echo $$ >> $NAME.pid; while :; do sleep 0.02; done"
STUBBORN = "trap '' TERM; echo $$ >> stubborn.pid; while :; do sleep 0.02; done"

type Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Runs a program with a supervisor in a process of its own, as signals are a matter of processes."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str) -> subprocess.Popen[str]:
        program = f"{PRELUDE}STAYS = {STAYS!r}\nSTUBBORN = {STUBBORN!r}\n{program}"
        command = [sys.executable, "-c", program]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=15)


def two_services(run: str = "sys.exit(Supervisor(say).run(services))") -> str:
    return f"services = [shell(name, STAYS, env={{'NAME': name}}) for name in ('web', 'worker')]\n{run}"


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def pid_in(path: Path, *, number: int = 1) -> int:
    """The `number`th pid that was noted in the file, waited for."""
    assert eventually(lambda: len(pids(path)) >= number), f"{path.name} has {pids(path)}"
    return pids(path)[number - 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_services_in_reverse_order(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    process = start(two_services())
    running = [pid_in(tmp_path / "web.pid"), pid_in(tmp_path / "worker.pid")]

    process.send_signal(number)
    output, _ = process.communicate(timeout=15)

    assert process.returncode == 0, output
    assert (tmp_path / "stopped").read_text().split() == ["worker", "web"]
    assert all(map(is_gone, running))


def test_the_services_speak_through_our_own_output(start: Start, tmp_path: Path) -> None:
    process = start("Supervisor(say).run([shell('web', 'echo on stdout; echo on stderr >&2; echo 1 > pid; sleep 60')])")
    pid_in(tmp_path / "pid")

    process.terminate()
    lines = process.communicate(timeout=15)[0].splitlines()

    assert {"on stdout", "on stderr"} <= set(lines)


def test_a_service_that_dies_is_started_again(start: Start, tmp_path: Path) -> None:
    process = start(two_services())
    first = pid_in(tmp_path / "web.pid")
    worker = pid_in(tmp_path / "worker.pid")

    os.kill(first, signal.SIGKILL)
    second = pid_in(tmp_path / "web.pid", number=2)
    process.terminate()
    output, _ = process.communicate(timeout=15)

    assert second != first
    assert "web was ended by SIGKILL; starting it again in 0.2 s." in output
    assert pids(tmp_path / "worker.pid") == [worker]
    assert process.returncode == 0


def test_what_a_dead_service_left_behind_is_ended_before_it_starts_again(start: Start, tmp_path: Path) -> None:
    start("Supervisor(say).run([shell('web', 'sleep 60 & echo $! >> left.pid; echo $$ >> web.pid; wait')])")
    left = pid_in(tmp_path / "left.pid")

    os.kill(pid_in(tmp_path / "web.pid"), signal.SIGKILL)

    pid_in(tmp_path / "web.pid", number=2)
    assert eventually(lambda: is_gone(left))


def test_a_service_that_keeps_dying_ends_everything(start: Start, tmp_path: Path) -> None:
    process = start(
        "supervisor.FIRST_DELAY = 0.01\n"
        "services = [shell('web', STAYS, env={'NAME': 'web'}), shell('broken', 'echo 1 >> tries; exit 3')]\n"
        "sys.exit(Supervisor(say).run(services))"
    )

    output, _ = process.communicate(timeout=15)

    assert process.returncode == 1
    assert "broken ended with exit code 3, the 5th time in a row" in output
    assert len(pids(tmp_path / "tries")) == 5
    assert is_gone(pid_in(tmp_path / "web.pid"))


def test_a_command_that_does_not_exist_ends_everything(tmp_path: Path) -> None:
    said: list[str] = []
    services = [Service("web", ["sleep", "60"]), Service("typo", [str(tmp_path / "no-such-program")])]

    assert Supervisor(said.append).run(services) == 1

    assert any("no-such-program" in text for text in said)
    assert said[-1] == "Stopping web."


def test_a_service_that_will_not_stop_is_killed_after_its_grace(start: Start, tmp_path: Path) -> None:
    process = start("sys.exit(Supervisor(say).run([shell('stubborn', STUBBORN, grace=0.3)]))")
    stubborn = pid_in(tmp_path / "stubborn.pid")

    process.terminate()
    output, _ = process.communicate(timeout=15)

    assert process.returncode == 0
    assert "stubborn is still there; killing it." in output
    assert is_gone(stubborn)


def test_a_second_interrupt_kills_at_once(start: Start, tmp_path: Path) -> None:
    process = start("sys.exit(Supervisor(say).run([shell('stubborn', STUBBORN, grace=60)]))")
    stubborn = pid_in(tmp_path / "stubborn.pid")
    assert process.stdout is not None

    process.send_signal(signal.SIGINT)
    assert any(line == "Stopping stubborn.\n" for line in process.stdout)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=15)

    assert time.monotonic() - began < 5
    assert process.returncode == 0
    assert is_gone(stubborn)


def test_services_die_with_a_supervisor_that_is_killed(start: Start, tmp_path: Path) -> None:
    process = start(two_services())
    running = [pid_in(tmp_path / "web.pid"), pid_in(tmp_path / "worker.pid")]

    process.kill()

    assert eventually(lambda: all(map(is_gone, running)))


def test_services_inherit_no_blocked_or_ignored_signal(start: Start, tmp_path: Path) -> None:
    process = start(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
        "for number in (signal.SIGINT, signal.SIGQUIT): signal.signal(number, signal.SIG_IGN)\n"
        "look = 'grep -E \"Sig(Blk|Ign)\" /proc/self/status > mask; echo 1 > pid; sleep 9'\n"
        "Supervisor(say).run([shell('web', look)])"
    )
    pid_in(tmp_path / "pid")
    process.terminate()

    masks = [int(line.split()[1], 16) for line in (tmp_path / "mask").read_text().splitlines()]

    standard = (1 << 31) - 1  # signals 1 to 31; those above are the C library's own, and come as the shell left them
    assert [mask & standard for mask in masks] == [0, 0]


def test_readiness_is_announced_once_and_only_when_every_service_is_ready(start: Start, tmp_path: Path) -> None:
    process = start(
        "ready = (here / 'open').exists\n"
        "services = [shell('web', 'sleep 60', ready=ready), shell('worker', 'echo 1 > pid; sleep 60')]\n"
        "Supervisor(say).run(services, on_ready=lambda: say('ready, and open:', ready()))"
    )
    pid_in(tmp_path / "pid")
    (tmp_path / "open").touch()
    assert process.stdout is not None

    assert any(line == "ready, and open: True\n" for line in process.stdout)
    process.terminate()
    assert "ready" not in process.communicate(timeout=15)[0]


def test_a_local_server_that_crashes_is_started_again_at_its_address(start: Start, tmp_path: Path) -> None:
    process = start(
        "redis = LocalRedis(here / 'data')\n"
        "url = redis.start()\n"
        "say(redis.pid)\n"
        "Supervisor(say).run([shell('worker', STAYS, env={'NAME': 'worker'})], servers=[redis])\n"
        "say('same address:', redis.running and redis.url == url)\n"
        "redis.stop()"
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    pid_in(tmp_path / "worker.pid")

    os.kill(pid, signal.SIGKILL)

    assert any(line.startswith("Redis was ended by SIGKILL; starting it again") for line in process.stdout)
    log = tmp_path / "data" / "redis.log.1"
    assert eventually(log.exists)  # the second start set the first one's log aside
    process.terminate()
    assert "same address: True" in process.communicate(timeout=15)[0]


class Mortal:
    """Something to keep alive, on a clock that the test turns."""

    name = "mortal"
    returncode = 1

    def __init__(self) -> None:
        self.running = True
        self.starts = 0

    def start(self) -> None:
        self.running = True
        self.starts += 1


def test_restarts_are_delayed_longer_each_time_and_shortly_again_after_a_good_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: now))
    mortal, delays = Mortal(), list[float]()
    life = supervisor._Life(mortal, lambda _text: None)  # pyright: ignore[reportPrivateUsage]

    for lived in (2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 10.0):
        now += lived
        mortal.running = False
        life.tend()
        assert life.again_at is not None
        delays.append(round(life.again_at - now, 3))
        now = life.again_at - 0.001
        life.tend()
        assert not mortal.running
        now += 0.002
        life.tend()
        assert mortal.running

    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.2]


def test_a_server_that_can_not_be_started_again_ends_everything() -> None:
    class Broken(Mortal):
        running = False

        def __init__(self) -> None: ...

        def start(self) -> None:
            raise ServerError("The disk is full.")

    said: list[str] = []

    assert Supervisor(said.append).run([Service("web", ["sleep", "60"])], servers=[Broken()]) == 1
    assert "The disk is full. Stopping everything." in said
