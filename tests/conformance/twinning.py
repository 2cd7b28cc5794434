"""Twins: a new module of `plugs new-module`, spoilt in one place, so that it breaks one rule and keeps all others.

`twins/` has a file for each rule, named after it, with the changes that make its twin.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

from msgspec import Struct

from core.cli.new_module import write_module
from core.plugs.discovery import GROUP

SOUND = "rsvp"
"""The one that is left as it was written."""
FOLDER = Path(__file__).with_name("twins")
MODULE, CONTRACT, MIGRATION = "__init__.py", "contract.py", "migrations/0001_answers.py"


class Change(Struct, frozen=True):
    """One place of one file. In both texts, NAME stands for the twin's name."""

    old: str
    new: str
    file: str = MODULE


def sdk(*names: str) -> Change:
    """Import more of the SDK."""
    return Change("    DEFAULT_LIMIT, ", f"    DEFAULT_LIMIT, {', '.join(names)}, ")


def before_manifest(code: str) -> Change:
    """Code of its own, and then the manifest."""
    return Change("\nmodule = Module(\n", f"\n{code.strip()}\n\n\nmodule = Module(\n")


def listed(**kinds: str) -> Change:
    """More in the manifest."""
    more = " ".join(f"{kind}={value}," for kind, value in kinds.items())
    return Change("subscribers=[confirm],", f"subscribers=[confirm], {more}")


def names() -> list[str]:
    """The rules that have a twin."""
    return sorted(file.stem for file in FOLDER.glob("[a-z]*.py"))


def make(name: str, folder: Path) -> EntryPoint:
    """Write the module below `folder`, which is on the path of imports; returns how it is found."""
    write_module(name, path=str(folder / name), title=None)
    package = folder / f"plugs_{name}"
    (folder / name / package.name).rename(package)
    changes: Sequence[Change] = () if name == SOUND else import_module(f"tests.conformance.twins.{name}").CHANGES
    for change in changes:
        file = package / change.file
        source, old = file.read_text(), change.old.replace("NAME", name)
        if source.count(old) != 1:
            raise LookupError(f"{name}: {old!r} stands {source.count(old)} times in {change.file}")
        file.write_text(source.replace(old, change.new.replace("NAME", name)))
    return EntryPoint(name=name, value=f"{package.name}:module", group=GROUP)
