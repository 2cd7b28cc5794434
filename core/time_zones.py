"""The time zones that there are: those of the package `tzdata`, so that each machine has the same ones.

The machine's own files, where it has them, say when the clocks change there; without them, the package does.
"""

from importlib.resources import files

TIME_ZONES = frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())
"""IANA names."""
