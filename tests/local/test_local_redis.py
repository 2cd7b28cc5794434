"""The embedded Redis: private, found where there is one, and its keys survive a crash."""

import stat
from pathlib import Path

import pytest
from watching import client, kill

from core.local.redis import LocalRedis, find_redis
from core.local.server import ServerError

pytestmark = pytest.mark.usefixtures("home")


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
