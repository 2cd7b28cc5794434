"""Imports: take a file in, say how it is to be read, start it, and take it back.

The upload is stored in the transaction that answers 202, so the job can never be without its file. What the job does
is in `importing`.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy import delete, insert, select

from core.sdk import Conflict, Ctx, FieldError, Invalid, NotFound, UploadFile, check_if_match, clock, new_id
from modules.networking.field_schemas import CUSTOM
from modules.networking.import_schemas import ImportPatch, ImportUpload
from modules.networking.importing.detection import Detected, Detector
from modules.networking.importing.records import UnreadableFile
from modules.networking.models import ContactImport, ContactImportChunk, ContactImportError
from modules.networking.services.fields import Fields, all_fields, own_fields, with_own_fields
from modules.networking.values import ImportState

CHUNK_BYTES = 1_048_576
"""All chunks of a file but its last are this long, so the place of a byte tells its chunk."""
MAX_FILE_BYTES = 64 * 1_048_576
SHOWN_ERRORS = 100
NAME_LENGTH = 200
REVERTIBLE = frozenset({ImportState.DONE, ImportState.FAILED})


async def upload_import(ctx: Ctx, data: ImportUpload) -> ContactImport:
    """Store the file and find out what it is; where it is queued, the caller enqueues the job.

    Raises `Invalid` for an empty file. One that can't be read is kept as an import that failed, with its reason.
    """
    job = ContactImport(
        id=new_id(),
        created_by=ctx.user_id,
        file_name=_plain(data.file.filename)[:NAME_LENGTH] or "contacts.csv",
        file_bytes=0,
        state=ImportState.QUEUED if data.start == "true" else ImportState.DRAFT,
        mode=data.mode,
        match_key=data.match_key,
        duplicates=data.duplicates,
        dry_run=data.dry_run == "true",
    )
    ctx.db.add(job)
    await ctx.db.flush()
    detector = Detector()
    await _store(ctx, job, data.file, detector)
    try:
        _describe(job, detector.found(), await all_fields(ctx))
    except UnreadableFile as error:
        await end_import(ctx, job, ImportState.FAILED, reason=error.detail)
    await ctx.db.flush()
    return job


async def end_import(ctx: Ctx, job: ContactImport, state: ImportState, *, reason: str | None = None) -> None:
    """The file goes: it is full of people, and nobody will read it again."""
    job.state, job.reason, job.finished_at = state, reason, clock.now()
    await ctx.db.execute(
        delete(ContactImportChunk)
        .where(ContactImportChunk.organization_id == ctx.organization_id, ContactImportChunk.import_id == job.id)
        .execution_options(synchronize_session=False)
    )


async def _store(ctx: Ctx, job: ContactImport, file: UploadFile, detector: Detector) -> None:
    ordinal = 0
    while content := await file.read(CHUNK_BYTES):
        detector.feed(content)
        await ctx.db.execute(
            insert(ContactImportChunk).values(
                organization_id=ctx.organization_id, id=new_id(), import_id=job.id, ordinal=ordinal, content=content
            )
        )
        ordinal += 1
        job.file_bytes += len(content)
    if job.file_bytes == 0:
        raise Invalid("The file is empty", code="empty-file")


def _describe(job: ContactImport, found: Detected, custom: Fields) -> None:
    job.format, job.source = found.format, found.source
    job.encoding, job.delimiter = found.encoding, found.delimiter
    job.columns, job.fields = found.columns, with_own_fields(found.columns, found.fields, custom)
    job.first_byte = job.bytes_done = found.offset
    job.first_line = job.next_line = found.line


def _plain(name: str) -> str:
    """The last part of a path, in any system's spelling, without what can't be seen. Nothing where that is all dots."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable()).lstrip(".")


async def find_import(ctx: Ctx, import_id: UUID, *, lock: bool = False) -> ContactImport:
    statement = select(ContactImport).where(
        ContactImport.organization_id == ctx.organization_id, ContactImport.id == import_id
    )
    job = await ctx.db.scalar(statement.with_for_update() if lock else statement)
    if job is None:
        raise NotFound("There is no such import")
    return job


async def first_errors(ctx: Ctx, import_id: UUID) -> list[ContactImportError]:
    errors = await ctx.db.scalars(
        select(ContactImportError)
        .where(ContactImportError.organization_id == ctx.organization_id, ContactImportError.import_id == import_id)
        .order_by(ContactImportError.line, ContactImportError.id)
        .limit(SHOWN_ERRORS)
    )
    return list(errors)


async def update_import(ctx: Ctx, import_id: UUID, data: ImportPatch, *, if_match: str | None) -> ContactImport:
    """Raises `Conflict` where it is no draft any more, or the mapping names a column that the file has not."""
    job = await _draft(ctx, import_id, if_match=if_match)
    changes: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET
    }
    mapping = changes.pop("mapping", {})
    if unknown := [name for name in mapping if name not in job.columns]:
        raise Conflict(f"The file has no column {unknown[0]!r}", code="no-such-column")
    if mapping:
        await _refuse_unknown_fields(ctx, mapping)
        job.fields = [mapping.get(name, field) or "" for name, field in zip(job.columns, job.fields, strict=True)]
    for name, value in changes.items():
        setattr(job, name, value)
    await ctx.db.flush()
    return job


async def _refuse_unknown_fields(ctx: Ctx, mapping: Mapping[str, str | None]) -> None:
    known = await all_fields(ctx)
    own = {name: own_fields([field])[0] for name, field in mapping.items() if field and field.startswith(CUSTOM)}
    message = "There is no such field, or it is archived"
    errors = [
        FieldError(field=f"mapping.{name}", code="unknown", message=message)
        for name, key in own.items()
        if key not in known or known[key].archived
    ]
    if errors:
        raise Invalid(errors=errors)


async def start_import(ctx: Ctx, import_id: UUID) -> ContactImport:
    """The caller enqueues the job. Raises `Conflict` where it is no draft any more."""
    job = await _draft(ctx, import_id)
    job.state = ImportState.QUEUED
    await ctx.db.flush()
    return job


async def _draft(ctx: Ctx, import_id: UUID, *, if_match: str | None = None) -> ContactImport:
    job = await find_import(ctx, import_id, lock=True)
    check_if_match(if_match, job.version)
    if job.state != ImportState.DRAFT:
        raise Conflict("The import has been started", code="not-a-draft")
    return job


async def begin_revert(ctx: Ctx, import_id: UUID) -> ContactImport:
    """The caller enqueues the job. Raises `Conflict` where there is nothing to take back, or it is still running."""
    job = await find_import(ctx, import_id, lock=True)
    if job.dry_run or job.state not in REVERTIBLE:
        raise Conflict("Only an import that is over and has written something can be reverted", code="not-revertible")
    job.state = ImportState.REVERTING
    await ctx.db.flush()
    return job
