"""Requests and answers of custom fields, and the types of their values."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from core.sdk import NO_NUL, NO_NUL_TITLE, OptionalText, PlainInteger, PlainNumber, ShortText
from modules.networking.values import FieldKind, ImportField

MAX_FIELDS = 200
"""Of an organization, the archived ones included."""
MAX_OPTIONS = 200
CUSTOM = "custom."
"""Before the key, where columns and fields of other kinds have names too."""
KEY = "[a-z][a-z0-9_-]{0,49}"

type FieldKey = Annotated[
    str,
    Meta(
        title="a key of small letters, digits, _ and -, such as account_tier",
        pattern=f"^{KEY}$(?!\\n)",
        examples=["account_tier"],
    ),
]
type Option = Annotated[
    str,
    Meta(
        title="text without ; and without what can't be seen",
        min_length=1,
        max_length=100,
        pattern=r"^[^\u0000-\u0020;\u007f-\u00a0](?:[^\u0000-\u001f;\u007f]*[^\u0000-\u0020;\u007f-\u00a0])?$(?!\n)",
        examples=["Gold"],
    ),
]
"""A file has several of them in one cell, with `;` between."""
type Options = Annotated[list[Option], Meta(max_length=MAX_OPTIONS)]

type FieldText = Annotated[str, Meta(title=NO_NUL_TITLE, max_length=2000, pattern=NO_NUL)]
type Choices = Annotated[list[OptionalText], Meta(max_length=MAX_OPTIONS)]
type CustomKey = Annotated[str, Meta(title=NO_NUL_TITLE, min_length=1, max_length=50, pattern=NO_NUL)]
type SomeText = Annotated[str, Meta(max_length=2000)]
type CustomValues = Annotated[
    dict[
        CustomKey,
        None | bool | PlainInteger | PlainNumber | SomeText | Annotated[list[SomeText], Meta(max_length=MAX_OPTIONS)],
    ],
    Meta(max_length=MAX_FIELDS, examples=[{}]),
]
"""By the fields' keys, each of its field's kind. Days are text: `2026-03-01`.

No pattern here: msgspec 0.22 frees a pattern's memory twice where text that has one and a list are sides of one union.
`field_values` knows each value's kind and judges it by that.
"""
CUSTOM_FILTER_TITLE = "a custom field's key, a colon and a value, such as account_tier:Gold"
CUSTOM_FILTER = f"^{KEY}:[^\\u0000]+$(?!\\n)"
type CustomFilter = Annotated[
    str, Meta(title=CUSTOM_FILTER_TITLE, max_length=300, pattern=CUSTOM_FILTER, examples=["account_tier:Gold"])
]
type ColumnField = Annotated[
    str,
    Meta(
        title="the name of a field, or custom. and the key of one of your own",
        pattern=f"^(?:{'|'.join(ImportField)}|custom\\.{KEY})$(?!\\n)",
        examples=["first_name"],
    ),
]
"""What a column of a file fills."""


class FieldIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new field. One of a choice has options, and only those have."""

    key: FieldKey
    label: ShortText
    kind: FieldKind
    options: Options = []
    required: bool = False
    """Of contacts that are added from now on, by hand or by file. Those that are there already may go without."""


class FieldPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: only what is sent is changed. What contacts have is never lost by it."""

    label: ShortText | UnsetType = UNSET
    kind: FieldKind | UnsetType = UNSET
    """Refused while a contact has a value."""
    options: Options | UnsetType = UNSET
    """All that can be chosen. One that contacts have can't be left out: put it among the archived ones."""
    archived_options: Options | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    """Contacts keep the values of an archived field, and get no new ones."""


class FieldOut(Struct, frozen=True, kw_only=True):
    id: UUID
    version: int
    key: str
    label: str
    kind: FieldKind
    options: list[str]
    archived_options: list[str]
    required: bool
    archived: bool
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime
