"""What both embedded servers have in common: at most one for a directory, and nothing is left running."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from watching import is_gone, sql

from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
from core.local.server import Server, ServerError

STARTS_BOTH_AND_WAITS = """
import sys, time
from pathlib import Path
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis
servers = LocalPostgres(Path(sys.argv[1]), durable=False), LocalRedis(Path(sys.argv[1]))
for server in servers:
    server.start()
print(*(f"{server.pid} {server.sockets}" for server in servers), flush=True)
time.sleep(60)
"""
pytestmark = pytest.mark.usefixtures("home")


def test_stopping_is_idempotent(postgres: LocalPostgres, local_redis: LocalRedis) -> None:
    for server in (postgres, local_redis):
        server.stop()
        server.start()
        server.stop()
        server.stop()
        assert server.pid is None


@pytest.mark.parametrize("kind", [LocalPostgres, LocalRedis])
def test_a_second_start_in_the_same_directory_names_the_first(kind: type[Server], with_cluster: Path) -> None:
    first, second = kind(with_cluster), kind(with_cluster)
    first.start()
    try:
        with pytest.raises(ServerError, match=rf"already runs here: pid {os.getpid()}\b"):
            second.start()
        assert first.running
    finally:
        first.stop()

    second.start()
    second.stop()


def test_servers_die_with_a_supervisor_that_is_killed(
    open_place: Path, postgres: LocalPostgres, local_redis: LocalRedis
) -> None:
    command = [sys.executable, "-c", STARTS_BOTH_AND_WAITS, open_place / "plugs"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        first_pid, first_sockets, second_pid, second_sockets = supervisor.stdout.readline().split()
        supervisor.kill()

    for server in (postgres, local_redis):  # at once: a start waits for the old server to leave
        server.start()

    assert is_gone(int(first_pid))
    assert is_gone(int(second_pid))
    assert not Path(first_sockets).exists()
    assert not Path(second_sockets).exists()
    assert sql(postgres, "SELECT 1") == "1"
    assert "database system was shut down" in (open_place / "plugs" / "postgresql.log").read_text()
