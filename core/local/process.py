"""Children that never outlive the process that started them, even when that one is killed with SIGKILL."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, NamedTuple

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class Account(NamedTuple):
    """The user and group a child runs as, without any supplementary group."""

    uid: int
    gid: int


def _find_prctl() -> Callable[[int, int], int] | None:
    if sys.platform != "linux":
        return None  # macOS has no such promise: there, a child outlives a parent that is killed outright
    return ctypes.CDLL(None).prctl


_prctl = _find_prctl()  # found before any fork: a forked child of a threaded process must not load libraries


def spawn(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    env: Mapping[str, str],
    account: Account | None = None,
    cwd: str | None = None,
    output: IO[bytes] | None = None,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, so that a Ctrl-C in the terminal reaches only us.

    `death_signal` is what the kernel sends the child when we die. It means the *thread* that called this function:
    start servers from the main thread, as a child of a worker thread is ended together with that thread.
    `output` takes stdout and stderr; None inherits ours. `keep_open` are descriptors that the child inherits.
    """
    parent = os.getpid()

    def before_exec() -> None:
        # A signal handler of ours would swallow a signal that arrives before exec, and what we ignore or block is
        # inherited beyond it.
        reset_signals()
        die_with(parent, death_signal)  # after the change of user, which would clear it

    return subprocess.Popen(  # noqa: S603 - the commands are ours
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        pass_fds=keep_open,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=before_exec,  # noqa: PLW1509 - nothing else can set a parent-death signal; it takes no locks
    )


def reset_signals() -> None:
    """In a new child: handle, ignore and block nothing that its parent did."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def die_with(parent: int, death_signal: signal.Signals) -> None:
    """In a new child: let the kernel send it the signal when the thread that forked it ends, where that can be had."""
    if _prctl is None:
        return
    _prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it died between fork and prctl, so the signal will never come
        os._exit(1)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to whatever is left of the session that `spawn` made, and reap its leader."""
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: how macOS says that only zombies are left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end(process: subprocess.Popen[bytes], number: signal.Signals, *, grace: float) -> None:
    """Ask with `number`, wait `grace` seconds, then kill the group."""
    process.send_signal(number)
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    kill_group(process)
