"""How a command is handed to the process that forks it (`core.testing.preloaded`), and the program that does so.

The program stands on a reader's path under the name of the command: see `core.testing.forking.lay_commands`. It knows
the standard library alone, so that it starts in milliseconds. It hands over its arguments, environment, folder and
files, passes on what signals it gets, and ends as the command ends.
"""

import marshal
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

NUMBER = 4
"""Bytes of a number: the length of what is handed over, then the answers: the process's id, and later how it ended."""
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def hand_over(
    address: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: str, files: Sequence[int]
) -> socket.socket:
    """Let `argv` be run, with these files as its stdin, stdout and stderr. `argv[0]` is the whole path of a program in
    the `bin` of a virtual environment.

    A byte that is written to the connection is a signal to the process; when the connection is closed, it is killed.
    """
    request = marshal.dumps((list(argv), dict(env), cwd))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    socket.send_fds(connection, [len(request).to_bytes(NUMBER)], files)
    connection.sendall(request)
    return connection


def take_over(connection: socket.socket) -> tuple[list[str], dict[str, str], str, list[int]]:
    """The other end of `hand_over`. Raises `OSError` where the asker has gone, or doesn't come to the point."""
    length, files, _, _ = socket.recv_fds(connection, NUMBER, 3)
    left, parts = int.from_bytes(length), list[bytes]()
    while left:
        part = connection.recv(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    if not parts or left:
        for file in files:
            os.close(file)
        raise ConnectionError("what was handed over is not whole")
    argv, env, cwd = marshal.loads(b"".join(parts))  # noqa: S302 - of this very run, over a socket that is its own
    return argv, env, cwd, files


def answer(connection: socket.socket, number: int) -> None:
    connection.sendall(number.to_bytes(NUMBER, signed=True))


def read_answer(connection: socket.socket) -> int:
    """Where the process that forks is gone, so is what it forked: as if that was killed."""
    told = connection.recv(NUMBER)
    return int.from_bytes(told, signed=True) if told else -signal.SIGKILL


def main(address: str) -> None:
    """The command that this program is named after, run to its end."""
    program, arguments = os.path.abspath(sys.argv[0]), sys.argv[1:]  # noqa: PTH100 - pathlib takes its time
    if program.endswith("/python") and not _is_program(arguments):
        os.execv(f"{program}3", [f"{program}3", *arguments])  # noqa: S606 - the interpreter itself, with all it can do
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    connection = hand_over(address, [program, *arguments], env=os.environ, cwd=os.getcwd(), files=(0, 1, 2))  # noqa: PTH109 - pathlib takes its time
    for number in PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    read_answer(connection)  # its id, which is of no use here
    code = read_answer(connection)
    if code < 0:
        if code != -signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _is_program(arguments: Sequence[str]) -> bool:
    """Whether this is `python FILE …` or `python -m MODULE …`."""
    return bool(arguments) and (arguments[0] == "-m" or not arguments[0].startswith("-"))
