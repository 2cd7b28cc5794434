"""Conditional requests: If-Match refuses to overwrite what the client hasn't seen, and If-None-Match saves sending what
it has already.

An ETag says two things, `"7-8c4f…"`: the row's version, which If-Match compares, and a digest of all that is shown with
it. What others add to a row (tags, scores, whoever merged something into it) counts no version up, so If-None-Match
compares the whole, and the same ETag means the same bytes. Whoever read a row in a list has no ETag of it: for If-Match
its `version` in quotes, `"7"`, will do.
"""

import hashlib
import re
from collections.abc import Iterable

from core.errors import PreconditionFailed

DIGEST_BYTES = 12
_OURS = re.compile(rf'"([0-9]{{1,19}})(?:-[0-9a-f]{{{2 * DIGEST_BYTES}}})?"')


def etag_of(version: int, shown: bytes | None = None) -> str:
    """Without `shown`, a tag for If-Match alone: it doesn't tell two answers of one version apart."""
    if shown is None:
        return f'"{version}"'
    return f'"{version}-{hashlib.blake2b(shown, digest_size=DIGEST_BYTES).hexdigest()}"'


def check_if_match(if_match: str | None, version: int) -> None:
    """Raises `PreconditionFailed` where the header names other versions. Without the header, the last writer wins.

    Weak tags never match here (RFC 9110, 13.1.1: If-Match compares strongly).
    """
    if if_match is None or if_match.strip() == "*":
        return
    named = (_OURS.fullmatch(tag.strip()) for tag in if_match.split(","))
    if not any(found is not None and int(found[1]) == version for found in named):
        raise PreconditionFailed


def is_known(if_none_match: Iterable[str], etag: str) -> bool:
    """Whether the client has what this tag stands for. Weak tags count (RFC 9110, 13.1.2), and so does `*`."""
    named = {tag.strip().removeprefix("W/") for line in if_none_match for tag in line.split(",")}
    return etag in named or "*" in named
