"""Requests and answers of tags."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from core.sdk import NO_NUL, NO_NUL_TITLE

MAX_CONTACTS = 500
MAX_TAGS = 50

type TagName = Annotated[
    str, Meta(title=NO_NUL_TITLE, min_length=1, max_length=50, pattern=NO_NUL, examples=["Key account"])
]
type TagNames = Annotated[list[TagName], Meta(max_length=MAX_TAGS)]
type Colour = Annotated[str, Meta(title="a colour", pattern=r"^#[0-9a-f]{6}$(?!\n)", examples=["#0a7d4f"])]


class TagIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new tag."""

    name: TagName
    colour: Colour | None = None


class TagPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: only what is sent is changed. Contacts that have the tag have it by its new name."""

    name: TagName | UnsetType = UNSET
    colour: Colour | None | UnsetType = UNSET


class TagOut(Struct, frozen=True, kw_only=True):
    id: UUID
    version: int
    name: str
    colour: str | None
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


class TagMergeIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Merge another tag into this one: whoever has that one has this one instead."""

    other_id: UUID


class TaggingIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tags to put on contacts, and to take off them. One that is in both is taken off."""

    contact_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_CONTACTS)]
    add: Annotated[list[UUID], Meta(max_length=MAX_TAGS)] = []
    remove: Annotated[list[UUID], Meta(max_length=MAX_TAGS)] = []


class TaggingOutcome(StrEnum):
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NOT_FOUND = "not-found"
    FORBIDDEN = "forbidden"
    """It is shared for reading only."""


class TaggedContact(Struct, frozen=True, kw_only=True):
    contact_id: UUID
    outcome: TaggingOutcome


class TaggingOut(Struct, frozen=True, kw_only=True):
    """What became of each contact, in the order in which they were sent."""

    items: list[TaggedContact]
