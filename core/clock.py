"""The one clock of the application: code asks it, never `datetime.now`, so that a test can freeze time in one place."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)
