"""What the doctor says of one thing."""

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    WRONG = "wrong"


class Finding(Struct, frozen=True, kw_only=True):
    level: Level
    subject: str
    found: str
    mend: str = ""
    """A command, a variable or an action."""


def ok(subject: str, found: str) -> Finding:
    return Finding(level=Level.OK, subject=subject, found=found)


def warn(subject: str, found: str, mend: str) -> Finding:
    return Finding(level=Level.WARN, subject=subject, found=found, mend=mend)


def wrong(subject: str, found: str, mend: str) -> Finding:
    return Finding(level=Level.WRONG, subject=subject, found=found, mend=mend)
