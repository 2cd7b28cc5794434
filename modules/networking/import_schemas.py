"""What goes in and out of the routes of imports."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from core.sdk import NO_NUL, NO_NUL_TITLE, UploadFile
from modules.networking.field_schemas import ColumnField
from modules.networking.values import (
    DuplicatePolicy,
    ImportFormat,
    ImportMode,
    ImportSource,
    ImportState,
    MatchKey,
    RowOutcome,
)

type Flag = Literal["true", "false"]
"""In a form everything is text."""


class ImportUpload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file to import, and how. CSV in UTF-8, UTF-16 or Windows-1252, or vCard 3.0 or 4.0; which is found out."""

    file: Annotated[UploadFile, Meta(extra_json_schema={"minLength": 1})]
    mode: ImportMode = ImportMode.CREATE
    match_key: MatchKey = MatchKey.EMAIL
    """By what `update` and `upsert` know a row's contact."""
    duplicates: DuplicatePolicy = DuplicatePolicy.SKIP
    dry_run: Flag = "false"
    """Report what every row would do, and do nothing."""
    start: Flag = "true"
    """Where false, the import is a draft: look at `columns`, change what is wrong, start it."""


type ColumnName = Annotated[str, Meta(title=NO_NUL_TITLE, max_length=1000, pattern=NO_NUL)]


class ImportPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of a draft: only what is sent is changed."""

    mapping: Annotated[dict[ColumnName, ColumnField | None], Meta(max_length=500)] | UnsetType = UNSET
    """The field of each column that is named, null for one to leave out; other columns stay as they are."""
    mode: ImportMode | UnsetType = UNSET
    match_key: MatchKey | UnsetType = UNSET
    duplicates: DuplicatePolicy | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class ImportColumn(Struct, frozen=True, kw_only=True):
    name: str
    field: ColumnField | None
    """What it fills; null for a column that is left out."""


class ImportErrorOut(Struct, frozen=True, kw_only=True):
    """Why one value was not taken; the other rows are imported all the same."""

    line: int
    """Line of the file, its first being line 1; a row that spans lines counts from its first."""
    column: str
    """The column's name in the file, or empty where the row as a whole is wrong."""
    code: str
    reason: str


class ImportRowOut(Struct, frozen=True, kw_only=True):
    """What became of one row. A dry run tells the same as the run that follows it."""

    line: int
    outcome: RowOutcome
    code: str | None
    """Why it was skipped or failed: `duplicate`, `in-trash`, `no-match`, `no-key`, `ambiguous`, `invalid`,
    `stage-not-allowed`."""
    contact_id: UUID | None
    """The contact that it made or changed, or that stood in its way."""


class ImportSummary(Struct, frozen=True, kw_only=True):
    """How far an import is."""

    id: UUID
    version: int
    file_name: str
    file_bytes: int
    state: ImportState
    format: ImportFormat
    source: ImportSource
    encoding: str
    delimiter: str
    mode: ImportMode
    match_key: MatchKey
    duplicates: DuplicatePolicy
    dry_run: bool
    bytes_done: int
    """Of `file_bytes`: how far it is."""
    rows_total: int | None
    """Null until the end of the file was reached."""
    rows_done: int
    rows_created: int
    rows_updated: int
    rows_skipped: int
    rows_failed: int
    contacts_reverted: int
    contacts_kept: int
    """Contacts that a revert left as they are, since they were changed after the import."""
    reason: str | None
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ImportOut(ImportSummary, frozen=True, kw_only=True):
    """The state of an import. Ask again until `state` is `done` or `failed`."""

    columns: list[ImportColumn]
    errors: list[ImportErrorOut]
    """The first hundred; all of them are at `/imports/{id}/errors`."""
