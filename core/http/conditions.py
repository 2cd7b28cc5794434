"""Conditional requests: a row's ETag is its version, and If-Match refuses to overwrite what the client hasn't seen."""

from core.errors import PreconditionFailed


def etag_of(version: int) -> str:
    return f'"{version}"'


def check_if_match(if_match: str | None, version: int) -> None:
    """Raises `PreconditionFailed` where the header names other versions. Without the header, the last writer wins.

    Weak tags never match here (RFC 9110, 13.1.1: If-Match compares strongly).
    """
    if if_match is None or if_match.strip() == "*":
        return
    if etag_of(version) not in {tag.strip() for tag in if_match.split(",")}:
        raise PreconditionFailed
