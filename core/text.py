"""Text and moments as they may come in: bounded, storable, and shown as such in OpenAPI.

A `title` completes the sentence "Expected …" and is what a client reads where the pattern doesn't match. Clients check
patterns in JavaScript's dialect, so none may mean something else there: a pattern ends with `$(?!\\n)`, as Python's `$`
alone also matches before a last line break, and has no `\\s`, `\\w` or `\\d`.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

NO_NUL = r"^[^\u0000]*$"
"""PostgreSQL can't store NUL."""
NO_NUL_TITLE = "text without the NUL character"

type ShortText = Annotated[str, Meta(title=NO_NUL_TITLE, min_length=1, max_length=200, pattern=NO_NUL)]
type OptionalText = Annotated[str, Meta(title=NO_NUL_TITLE, max_length=200, pattern=NO_NUL)]
type LongText = Annotated[str, Meta(title=NO_NUL_TITLE, max_length=10_000, pattern=NO_NUL)]
type Url = Annotated[
    str,
    Meta(
        title="an http or https address",
        max_length=2000,
        pattern=r"^https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:[/?#][^\u0000-\u0020\u007f]*)?$(?!\n)",
        examples=["https://example.com/a"],
    ),
]
type Email = Annotated[
    str,
    Meta(
        title="an e-mail address",
        max_length=254,
        pattern=r"^[^@\u0000-\u0020\u007f-\u00a0]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$(?!\n)",
        examples=["ada@example.com"],
    ),
]
"""Judged by shape alone: only a message that arrives proves an address."""
type Phone = Annotated[
    str,
    Meta(
        title="a phone number",
        max_length=40,
        pattern=r"^[0-9+()./ \-x#]*$(?!\n)",
        examples=["+44 20 7946 0018"],
    ),
]
type Moment = Annotated[
    datetime,
    Meta(
        tz=True,
        examples=["2026-03-01T09:30:00+01:00"],
        extra_json_schema={"pattern": "^(?!0000|0001|9999)"},
    ),
]
"""With an offset. The outermost years are refused (see `core.http.field_errors`): in UTC they may not exist."""
type PlainInteger = Annotated[int, Meta(ge=-(2**53) + 1, le=2**53 - 1)]
"""Within what every JSON parser holds exactly (RFC 8259, section 6)."""
type PlainNumber = Annotated[float, Meta(ge=-(2**53) + 1, le=2**53 - 1)]
"""PostgreSQL hands a large float back as an integer, so both have the same bounds."""
