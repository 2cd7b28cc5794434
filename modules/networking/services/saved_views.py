"""Saved views: kept, changed, and applied to the list of contacts and its export.

A view may outlive what it names. It is then still there to be looked at and mended, and whoever applies it is told what
is gone: leaving a filter out would quietly show more than was asked for.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args
from uuid import UUID

from msgspec import UNSET, Struct, convert, json, structs, to_builtins
from sqlalchemy import ColumnElement, func, literal, or_, select

from core.sdk import Conflict, Ctx, FieldError, Forbidden, Invalid, NotFound, check_if_match, field_errors
from modules.networking.exporting import COLUMNS
from modules.networking.field_schemas import CUSTOM
from modules.networking.keys import name_key
from modules.networking.locks import lock
from modules.networking.permissions import VIEWS
from modules.networking.saved_view_models import SavedView
from modules.networking.saved_view_queries import SAVED_VIEW
from modules.networking.saved_view_schemas import MAX_VIEWS, ContactSort, ViewFilters, ViewIn, ViewPatch
from modules.networking.services.fields import Fields, all_fields, containing, shown_fields
from modules.networking.tag_models import Tag

SORTS = frozenset(get_args(ContactSort))


class Asked(Struct, frozen=True, kw_only=True):
    """What is asked of the list, a view taken into account."""

    filters: Mapping[str, Any]
    """As the queries take them, but for `q`: words, as they were written."""
    sort: str | None = None
    columns: Sequence[str] | None = None


async def asked(ctx: Ctx, view_id: UUID | None, given: ViewFilters, *, sort: str | None = None) -> Asked:
    """What was given beside the view stands above what the view says, filter by filter.

    Raises `NotFound` where there is no such view for the caller, `Conflict` (`view-outdated`) where it names something
    that is gone, and `Invalid` for a custom filter that fits no field.
    """
    if view_id is None:
        fields = await shown_fields(ctx) if given.custom else {}
        return Asked(filters=_bound(given, fields), sort=sort)
    row = await ctx.reads.first(SAVED_VIEW, id=view_id, asker=ctx.user_id)
    if row is None:
        raise NotFound("There is no such view")
    fields = await shown_fields(ctx)
    above = {name: value for name, value in structs.asdict(given).items() if value is not None}
    document = {name: value for name, value in json.decode(row["filters"]).items() if name not in above}
    flaws = field_errors(document, ViewFilters)
    saved = ViewFilters() if flaws else convert(document, ViewFilters)
    flaws = [FieldError(field=f"filters.{flaw.field}", code=flaw.code, message=flaw.message) for flaw in flaws]
    flaws += _flaws(saved, row["columns"], fields, has_tag=row["has_tag"])
    if sort is None and row["sort"] is not None and row["sort"] not in SORTS:
        flaws.append(FieldError(field="sort", code="unknown", message="There is no such order"))
    if flaws:
        raise Conflict("The view names what is gone: change it", code="view-outdated", errors=flaws)
    return Asked(
        filters=_bound(structs.replace(saved, **above), fields), sort=sort or row["sort"], columns=row["columns"]
    )


async def create_view(ctx: Ctx, data: ViewIn) -> SavedView:
    """Raises `Invalid` for filters and columns that the list doesn't have, `Conflict` (`too-many-views`)."""
    _check_sharing(ctx.user_id, is_shared=data.is_shared)
    filters = await _checked(ctx, data.filters, data.columns)
    _check_sort(data.sort, filters)
    await lock(ctx, "views", ctx.user_id)
    own = SavedView.owner_id.is_not_distinct_from(ctx.user_id)
    count = select(func.count()).where(SavedView.organization_id == ctx.organization_id, own)
    if (await ctx.db.scalar(count) or 0) >= MAX_VIEWS:
        raise Conflict(f"There are {MAX_VIEWS} views already", code="too-many-views")
    view = SavedView(
        name=data.name,
        owner_id=ctx.user_id,
        is_shared=data.is_shared,
        filters=filters,
        sort=data.sort,
        columns=data.columns,
    )
    ctx.db.add(view)
    await ctx.db.flush()
    return view


async def find_view(ctx: Ctx, view_id: UUID, *, to_change: bool = False) -> SavedView:
    """Raises `NotFound` for somebody else's that is not shared, and `Forbidden` where a shared one is `to_change` and
    the caller neither has it nor looks after views."""
    theirs: ColumnElement[bool] = or_(SavedView.is_shared, SavedView.owner_id == literal(ctx.user_id))
    view = await ctx.db.scalar(
        select(SavedView).where(SavedView.organization_id == ctx.organization_id, SavedView.id == view_id, theirs)
    )
    if view is None:
        raise NotFound("There is no such view")
    is_own = view.owner_id is not None and view.owner_id == ctx.user_id
    if to_change and not is_own and VIEWS.name not in ctx.principal.permissions:
        raise Forbidden("This is for the view's owner", code="owner-needed")
    return view


async def update_view(ctx: Ctx, view_id: UUID, data: ViewPatch, *, if_match: str | None) -> SavedView:
    """Only what is sent is checked, so that a view with something gone can be mended piece by piece."""
    view = await find_view(ctx, view_id, to_change=True)
    check_if_match(if_match, view.version)
    changes = {name: value for name, value in structs.asdict(data).items() if value is not UNSET}
    if changes.get("is_shared", view.is_shared) != view.is_shared:
        _check_sharing(view.owner_id, is_shared=changes["is_shared"])
    given = ViewFilters() if data.filters is UNSET else data.filters
    filters = await _checked(ctx, given, None if data.columns is UNSET else data.columns)
    if data.filters is not UNSET:
        changes["filters"] = filters
    if not changes.keys().isdisjoint({"sort", "filters"}):
        _check_sort(changes.get("sort", view.sort), changes.get("filters", view.filters))
    for name, value in changes.items():
        setattr(view, name, value)
    await ctx.db.flush()
    return view


async def delete_view(ctx: Ctx, view_id: UUID, *, if_match: str | None) -> None:
    view = await find_view(ctx, view_id, to_change=True)
    check_if_match(if_match, view.version)
    await ctx.db.delete(view)
    await ctx.db.flush()


def _check_sharing(owner_id: UUID | None, *, is_shared: bool) -> None:
    if not is_shared and owner_id is None:
        raise Forbidden("A view that is not shared is somebody's own", code="member-needed")


def _check_sort(sort: str | None, filters: Mapping[str, Any]) -> None:
    if sort in {"relevance", "-relevance"} and not filters.get("q"):
        message = "Only what is searched for has a relevance"
        raise Invalid(message, errors=[FieldError(field="sort", code="value", message=message)])


async def _checked(ctx: Ctx, filters: ViewFilters, columns: Sequence[str] | None) -> dict[str, Any]:
    """The filters as they are stored. The tag can't be renamed before this transaction is over."""
    tag = None
    if filters.tag is not None:
        named = (Tag.organization_id == ctx.organization_id, Tag.key == name_key(filters.tag))
        tag = await ctx.db.scalar(select(Tag.name).where(*named).with_for_update(read=True, key_share=True))
    if flaws := _flaws(filters, columns, await all_fields(ctx), has_tag=tag is not None):
        raise Invalid(errors=flaws)
    return to_builtins(structs.replace(filters, tag=tag))


def _flaws(filters: ViewFilters, columns: Sequence[str] | None, fields: Fields, *, has_tag: bool) -> list[FieldError]:
    """What the filters and columns name that is not there."""
    flaws: list[FieldError] = []
    if filters.tag is not None and not has_tag:
        flaws.append(FieldError(field="filters.tag", code="unknown", message="There is no such tag"))
    wrong = containing(fields, filters.custom)[1] if filters.custom else []
    flaws += [FieldError(field="filters.custom", code=error.code, message=error.message) for error in wrong]
    known = {*COLUMNS, *(CUSTOM + key for key in fields)}
    flaws += [
        FieldError(field=f"columns.{index}", code="unknown", message="There is no such column")
        for index, name in enumerate(columns or ())
        if name not in known
    ]
    return flaws


def _bound(filters: ViewFilters, fields: Fields) -> dict[str, Any]:
    given = {name: value for name, value in structs.asdict(filters).items() if value is not None}
    if filters.tag is not None:
        given["tag"] = name_key(filters.tag)
    if filters.custom is not None:
        given["custom"], wrong = containing(fields, filters.custom)
        if wrong:
            raise Invalid(errors=wrong)
    return given
