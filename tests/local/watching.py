"""What tests of local processes ask of them, and do to them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import redis

from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.local.server import Server


def sql(server: LocalPostgres, statement: str) -> str:
    command = [server.programs / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement, server.url]
    return subprocess.check_output(command, text=True, timeout=10).strip()


def client(server: LocalRedis) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True, socket_timeout=5)


def eventually(holds: Callable[[], bool], within: float = 15.0) -> bool:
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(server: Server) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert eventually(lambda: not server.running)
