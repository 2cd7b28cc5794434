"""Contacts as CSV, row by row, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

from core.sdk import Ctx
from modules.networking.queries import CONTACT_COLUMNS, contacts_export, search_terms

LEFT_OUT = frozenset({"organization_id", "version", "is_deleted", "deleted_at"})
COLUMNS = tuple(column.key for column in CONTACT_COLUMNS if column.key not in LEFT_OUT)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001
"""A spreadsheet runs a cell that begins so (OWASP, CSV injection), full-width forms included."""


def cell(value: Any) -> str:
    """One value as text; what a spreadsheet would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


async def export_contacts(ctx: Ctx, **filters: str | None) -> AsyncIterator[bytes]:
    """The header, then each contact that fits the filters, as they come from the database."""
    yield _line(COLUMNS)
    given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    if "q" in given and (terms := search_terms(given.pop("q"))):
        given["q"] = terms
    async for row in ctx.reads.stream(contacts_export(tuple(sorted(given))), **given):
        yield _line([cell(row[column]) for column in COLUMNS])


def _line(cells: Any) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().encode()
