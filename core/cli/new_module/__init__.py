"""`plugs new-module`: a whole distribution, ready to install, from the templates beside this file."""

import json
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from string import Template

import click
from packaging.version import Version

from core.cli.common import CommandFailed
from core.plugs.importing import SDK
from core.plugs.manifest import ManifestError, check_name

TEMPLATES = Path(__file__).with_name("template")
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    ".github/workflows/ci.yml": "ci.yml",
    "$package/__init__.py": "module.py",
    "$package/contract.py": "contract.py",
    "$package/migrations/0001_answers.py": "migration.py",
    "$package/event_schemas/$name.answered.v1.json": "event.json",
    "tests/test_conformance.py": "test_conformance.py",
}
"""Where each template goes. A template is a `string.Template`: what stands behind a dollar sign is filled in."""
TITLE_LENGTH = 80


def write_module(name: str, *, path: str | None, title: str | None) -> None:
    """Raises `CommandFailed` where the name, the title or the folder won't do; then nothing is written."""
    try:
        check_name(name)
    except ManifestError as error:
        raise CommandFailed(str(error)) from error
    words = _words(name, title)
    folder = Path(path or name).resolve()
    if not folder.parent.is_dir():
        raise CommandFailed(f"There is no folder {folder.parent}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandFailed(f"{folder} is there already, and not empty")
    _write_whole(folder, words)
    for told in (
        f"Wrote the module {name}. Now:",
        f"  pip install -e {folder}",
        "  plugs migrate",
        f"  plugs modules enable {name} --tenant SLUG    (where modules aren't on by default)",
    ):
        click.echo(told)


def _words(name: str, title: str | None) -> dict[str, str]:
    """What the templates are filled with. The title is quoted, since it may hold what Python or TOML would read."""
    title = name.replace("_", " ").capitalize() if title is None else title.strip()
    if not title or len(title) > TITLE_LENGTH or not title.isprintable():
        raise CommandFailed(f"--title must be one line of 1 to {TITLE_LENGTH} characters")
    return {
        "name": name,
        "package": f"plugs_{name}",
        "distribution": f"plugs-{name.replace('_', '-')}",
        "camel": "".join(word.capitalize() for word in name.split("_")),
        "title": json.dumps(title, ensure_ascii=False),
        "heading": title,
        "requirement": _requirement(Version(version(SDK))),
    }


def _requirement(sdk: Version) -> str:
    """This version of the SDK or a later compatible one: before 1.0 a minor version may break, then a major one."""
    beyond = f"0.{sdk.minor + 1}" if sdk.major == 0 else f"{sdk.major + 1}"
    return f"{SDK}>={sdk.major}.{sdk.minor},<{beyond}"


def _write_whole(folder: Path, words: dict[str, str]) -> None:
    """All files or none: they are written beside the folder, and get to their place when all of them are there."""
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for place, template in FILES.items():
            file = partial / Template(place).substitute(words)
            file.parent.mkdir(parents=True, exist_ok=True)
            source = (TEMPLATES / f"{template}.template").read_text(encoding="utf-8")
            file.write_text(Template(source).substitute(words), encoding="utf-8")
        partial.chmod(0o777 & ~_umask())
        _put(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _put(made: Path, folder: Path) -> None:
    """A folder that is there stays the one it is: a shell may stand in it.

    Of two who fill it at once, the one whose first folder comes first does: none can be put over one that holds
    something.
    """
    if not folder.exists():
        made.rename(folder)
        return
    moved: list[Path] = []
    try:
        for part in sorted(made.iterdir(), key=lambda part: (part.is_file(), part.name)):
            moved.append(part.rename(folder / part.name))  # noqa: PERF401 - what was moved before a failure counts
    except BaseException:
        for place in moved:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        raise
    made.rmdir()


def _umask() -> int:
    """A temporary folder is its maker's alone; this one becomes a folder like any other."""
    current = os.umask(0)
    os.umask(current)
    return current
