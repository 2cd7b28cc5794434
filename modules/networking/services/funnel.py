"""The funnel: how many contacts came to each stage, where they went from there, and after how long."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from core.sdk import TIME_ZONES, Ctx, FieldError, Invalid, clock
from modules.networking.stage_queries import funnel
from modules.networking.stage_schemas import FunnelOut, FunnelStage
from modules.networking.values import ContactType
from modules.networking.visibility import viewer_of

EVER = datetime(1, 1, 1, tzinfo=UTC)
YEARS = range(2, 9999)
"""At the edges of the calendar, a midnight may not exist in UTC."""


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins there: the first moment after it where a clock change skips midnight, the first of two where
    it comes twice."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


async def funnel_of(
    ctx: Ctx, *, since: date | None, until: date | None, zone: str | None, owner_id: UUID | None
) -> FunnelOut:
    """Days from `since` up to, and without, `until`; from ever and up to now where they are None.

    Raises `Invalid` for days in the wrong order, and for a zone that there is not.
    """
    if zone is not None and zone not in TIME_ZONES:
        message = "Expected an IANA time zone"
        raise Invalid(message, errors=[FieldError(field="zone", code="choice", message=message)])
    now, name = clock.now(), zone or (await ctx.organization_settings()).get("time_zone", "UTC")
    begins_at = midnight(_checked("from", since), ZoneInfo(name)) if since else None
    ends_at = midnight(_checked("to", until), ZoneInfo(name)) if until else None
    if begins_at and begins_at > (ends_at or now):
        message = "Expected a day that is not after `to`" if until else "Expected a day that has begun"
        raise Invalid(message, errors=[FieldError(field="from", code="range", message=message)])
    values = {"begins_at": begins_at or EVER, "ends_at": ends_at or now}
    owner = {"owner_id": owner_id} if owner_id else {}
    rows = await ctx.reads.rows(funnel(of_owner=bool(owner)), viewer=viewer_of(ctx), **values, **owner)
    found = {row["stage"]: dict(row) for row in rows}
    stages = [_stage(stage, found.get(stage, {})) for stage in ContactType]
    return FunnelOut(begins_at=begins_at, ends_at=ends_at, zone=name, stages=stages)


def _checked(field: str, day: date) -> date:
    if day.year not in YEARS:
        message = f"Expected a year from {YEARS[0]} to {YEARS[-1]}"
        raise Invalid(message, errors=[FieldError(field=field, code="range", message=message)])
    return day


def _stage(stage: ContactType, row: Mapping[str, Any]) -> FunnelStage:
    nobody = dict.fromkeys(("entered", "left_onward", "left_back", "merged", "still_in"), 0)
    nobody |= {"median_seconds": None, "p90_seconds": None}
    rate = round(row["left_onward"] / row["entered"], 4) if row else None
    return msgspec.convert(nobody | dict(row) | {"stage": stage, "conversion_rate": rate}, FunnelStage)
