"""Embedded servers to try things on, each in a directory of its own."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.local import premises
from core.local.postgres import LocalPostgres
from core.local.redis import LocalRedis


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own."""
    place = Path(tempfile.mkdtemp(prefix="test-plugs-", dir="/tmp"))
    place.chmod(0o755)
    yield place
    place.chmod(0o755)
    shutil.rmtree(place)


@pytest.fixture
def home(open_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for the account's own place."""
    monkeypatch.setattr(premises, "HOME", open_place / "home")
    return open_place / "home"


@pytest.fixture
def directory(open_place: Path) -> Path:
    return open_place / "plugs"


@pytest.fixture(scope="session")
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
