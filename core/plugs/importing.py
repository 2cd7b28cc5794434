"""Importing somebody else's code: judged by its distribution's metadata first, then in a thread that has so long."""

from importlib.metadata import Distribution, EntryPoint
from importlib.metadata import version as version_of
from threading import Thread
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

SDK = "the-plugs"
"""The distribution whose version is the SDK's."""


class Incompatible(Exception):
    """The module was made for another version of the SDK; it was not imported."""


class Hanging(Exception):
    """The import was given up. Its thread goes on until it ends by itself or the process does."""


def check_compatibility(distribution: Distribution | None) -> None:
    """Raises `Incompatible`. Reads metadata alone: not a line of the module runs."""
    running = version_of(SDK)
    for text in (distribution.requires if distribution else None) or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise Incompatible(f"its requirement {text!r} can't be read") from error
        if canonicalize_name(requirement.name) != SDK or (requirement.marker and not requirement.marker.evaluate()):
            continue
        if not requirement.specifier.contains(running, prereleases=True):
            raise Incompatible(f"it needs {SDK}{requirement.specifier}, and this is {running}")


def load(point: EntryPoint, *, seconds: float) -> Any:
    """What the entry point names. Raises whatever the import raises, `SystemExit` included, and `Hanging`.

    A thread can't be ended from outside, so an import that hangs keeps one; `os._exit` in a module ends the process:
    modules are trusted code, and this guards against their mistakes.
    """
    ends: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            ends.append((point.load(), None))
        except BaseException as error:  # it is raised again, where somebody waits for it
            ends.append((None, error))

    thread = Thread(target=run, name=f"import-{point.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if not ends:
        raise Hanging(f"its import did not end within {seconds:g} seconds")
    found, error = ends[0]
    if error is not None:
        raise error
    return found
