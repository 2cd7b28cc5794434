"""Requests and answers of saved views."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from core.sdk import NO_NUL, NO_NUL_TITLE, ShortText
from modules.networking.field_schemas import KEY, CustomFilter
from modules.networking.tag_schemas import TagName
from modules.networking.values import ContactStatus, ContactType, Priority

MAX_COLUMNS = 150
MAX_VIEWS = 200
"""Of one owner."""

ContactSort = Literal[
    "created_at", "-created_at",
    "updated_at", "-updated_at",
    "first_name", "-first_name",
    "last_name", "-last_name",
    "company", "-company",
    "lead_score", "-lead_score",
    "last_interaction", "-last_interaction",
    "relevance", "-relevance",
]  # fmt: skip
type ViewColumn = Annotated[
    str,
    Meta(
        title="the name of a column of the export",
        pattern=f"^(?:[a-z_]{{1,50}}|custom\\.{KEY})$(?!\\n)",
        examples=["first_name"],
    ),
]
type Columns = Annotated[list[ViewColumn], Meta(min_length=1, max_length=MAX_COLUMNS)]


class ViewFilters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the list of contacts takes, each by the same rule as there."""

    contact_type: ContactType | None = None
    status: ContactStatus | None = None
    priority: Priority | None = None
    industry: ShortText | None = None
    owner_id: UUID | None = None
    tag: TagName | None = None
    """It stays the same tag when that is renamed, or merged into another."""
    custom: CustomFilter | None = None
    q: Annotated[str, Meta(title=NO_NUL_TITLE, min_length=1, max_length=200, pattern=NO_NUL)] | None = None


class ViewIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new view."""

    name: ShortText
    is_shared: bool = False
    """With everybody in the organization."""
    filters: ViewFilters = ViewFilters()
    sort: ContactSort | None = None
    columns: Columns | None = None
    """Of the export, in this order; null for all of them."""


class ViewPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change: only what is sent is changed, `filters` as a whole."""

    name: ShortText | UnsetType = UNSET
    is_shared: bool | UnsetType = UNSET
    filters: ViewFilters | UnsetType = UNSET
    sort: ContactSort | None | UnsetType = UNSET
    columns: Columns | None | UnsetType = UNSET


class ViewOut(Struct, frozen=True, kw_only=True):
    id: UUID
    version: int
    name: str
    owner_id: UUID | None
    is_shared: bool
    filters: dict[str, Any]
    """As they were saved: some may name what is gone by now."""
    sort: str | None
    columns: list[str] | None
    created_at: datetime
    updated_at: datetime
