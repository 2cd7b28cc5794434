"""Contacts as CSV, row by row, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from core.sdk import Ctx
from modules.networking.field_schemas import CUSTOM
from modules.networking.field_values import written
from modules.networking.importing.tag_cells import tags_cell
from modules.networking.models import ContactImport
from modules.networking.queries import CONTACT_COLUMNS, IMPORT_ERROR_FILE, contacts_export
from modules.networking.searching import search_values
from modules.networking.services.fields import shown_fields
from modules.networking.visibility import viewer_of

LEFT_OUT = frozenset({"organization_id", "version", "is_deleted", "deleted_at", "custom"})
COLUMNS = tuple(column.key for column in CONTACT_COLUMNS if column.key not in LEFT_OUT)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # noqa: RUF001
"""A spreadsheet runs a cell that begins so (OWASP, CSV injection), full-width forms included."""


def cell(value: Any) -> str:
    """One value as text; what a spreadsheet would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, list):
        text = "; ".join(cast("list[str]", value))
    else:
        text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


async def export_contacts(
    ctx: Ctx, filters: Mapping[str, Any], *, sort: str | None = None, columns: Sequence[str] | None = None
) -> AsyncIterator[bytes]:
    """The header, then each contact that fits the filters, as they come from the database. Without `columns`, all of
    them: the organization's own fields stand behind all others, `custom.` before their keys."""
    columns = columns or [*COLUMNS, *(CUSTOM + key for key in await shown_fields(ctx))]
    yield line_of(columns)
    searched = search_values(filters.get("q"))
    given = {name: value for name, value in filters.items() if name != "q" or searched}
    read = contacts_export(tuple(sorted(given)), sort or "created_at")
    values = {**given, **searched, "viewer": viewer_of(ctx)}
    async for row in ctx.reads.stream(read, **values):
        own = {CUSTOM + key: written(value) for key, value in msgspec.json.decode(row["custom"]).items()}
        own["tags"] = tags_cell(row["tags"])
        yield line_of([cell(own[name] if name in own else row.get(name)) for name in columns])


ERROR_COLUMNS = ("error_line", "error_columns", "error_codes", "error_reasons")


async def import_errors_file(ctx: Ctx, job: ContactImport) -> AsyncIterator[bytes]:
    """The rows that an import did not take, as they stood in the file and with the reasons behind them.

    Once mended, it can be imported as it is: columns that nobody knows are left out.
    """
    yield line_of(map(cell, [*job.columns, *ERROR_COLUMNS]))
    async for row in ctx.reads.stream(IMPORT_ERROR_FILE, import_id=job.id):
        cells: list[str] = row["cells"] or []
        padded = [*cells, *[""] * (len(job.columns) - len(cells))]
        reasons = [row["line"], *("; ".join(row[name]) for name in ("columns", "codes", "reasons"))]
        yield line_of(map(cell, [*padded, *reasons]))


def line_of(cells: Iterable[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().encode()
