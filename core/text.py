"""Text as it may come in: bounded, without the NUL that PostgreSQL can't store, and shown as such in OpenAPI."""

from typing import Annotated

from msgspec import Meta

NO_NUL = r"^[^\u0000]*$"

type ShortText = Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)]
type OptionalText = Annotated[str, Meta(max_length=200, pattern=NO_NUL)]
type LongText = Annotated[str, Meta(max_length=10_000, pattern=NO_NUL)]
type Url = Annotated[str, Meta(max_length=2000, pattern=r"^https?://[^\s\u0000]+$", examples=["https://example.com/a"])]
type Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=r"^[^@\s\u0000-\u001f\u007f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$",
        examples=["ada@example.com"],
    ),
]
"""Judged by shape alone: only a message that arrives proves an address."""
type Phone = Annotated[str, Meta(max_length=40, pattern=r"^[0-9+()./ \-x#]*$", examples=["+44 20 7946 0018"])]
