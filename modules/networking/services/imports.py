"""Imports: take a file in, then turn its rows into contacts in the background.

The upload is stored in the transaction that answers 202, so the job can never be without its file. The job works in
batches; each commits its contacts, its errors and its place in the file together, so a run that is killed goes on
from its last batch and no row counts twice.
"""

from itertools import batched
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select

from core.sdk import Ctx, Invalid, NotFound, UploadFile, clock, new_id
from modules.networking.contract import ContactsImported
from modules.networking.csv_reading import CsvRow, UnreadableFile, decode, read_rows
from modules.networking.models import Contact, ContactImport, ContactImportChunk, ContactImportError
from modules.networking.services.contacts import contact_values
from modules.networking.values import ImportState

CHUNK_BYTES = 1_048_576
MAX_FILE_BYTES = 64 * 1_048_576
BATCH_ROWS = 500
SHOWN_ERRORS = 100
NAME_LENGTH = 200


async def start_import(ctx: Ctx, file: UploadFile) -> ContactImport:
    """Store the file; the caller enqueues the job. Raises `Invalid` for an empty file."""
    job = ContactImport(
        id=new_id(),
        created_by=ctx.user_id,
        file_name=_plain(file.filename)[:NAME_LENGTH] or "contacts.csv",
        file_bytes=0,
    )
    ctx.db.add(job)
    await ctx.db.flush()
    ordinal = 0
    while content := await file.read(CHUNK_BYTES):
        await ctx.db.execute(
            insert(ContactImportChunk).values(
                organization_id=ctx.organization_id, id=new_id(), import_id=job.id, ordinal=ordinal, content=content
            )
        )
        ordinal += 1
        job.file_bytes += len(content)
    if job.file_bytes == 0:
        raise Invalid("The file is empty", code="empty-file")
    await ctx.db.flush()
    return job


def _plain(name: str) -> str:
    """The last part of a path, in any system's spelling, without what can't be seen. Nothing where that is all dots."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable()).lstrip(".")


async def find_import(ctx: Ctx, import_id: UUID) -> ContactImport:
    job = await ctx.db.scalar(
        select(ContactImport).where(ContactImport.organization_id == ctx.organization_id, ContactImport.id == import_id)
    )
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


async def run_import(ctx: Ctx, import_id: UUID) -> None:
    """The job: go on where the last run stopped, until every row is a contact or an error."""
    job = await find_import(ctx, import_id)
    if job.state in {ImportState.DONE, ImportState.FAILED}:
        return
    try:
        rows = list(read_rows(decode(await _content_of(ctx, import_id))))
    except UnreadableFile as error:
        await _end(ctx, job, ImportState.FAILED, reason=error.detail)
        return
    job.state, job.rows_total = ImportState.RUNNING, len(rows)
    job.started_at = job.started_at or clock.now()
    await ctx.checkpoint()
    for batch in batched(rows[job.rows_done :], BATCH_ROWS):
        await _take(ctx, job, batch)
        await ctx.checkpoint()
    await _end(ctx, job, ImportState.DONE)
    ctx.emit(ContactsImported(import_id=job.id, created=job.rows_created, failed=job.rows_failed))


async def _content_of(ctx: Ctx, import_id: UUID) -> bytes:
    chunks = await ctx.db.scalars(
        select(ContactImportChunk.content)
        .where(ContactImportChunk.organization_id == ctx.organization_id, ContactImportChunk.import_id == import_id)
        .order_by(ContactImportChunk.ordinal)
    )
    return b"".join(chunks)


async def _take(ctx: Ctx, job: ContactImport, batch: tuple[CsvRow, ...]) -> None:
    contacts = [_of_import(ctx, job) | contact_values(row.contact) for row in batch if row.contact is not None]
    errors: list[dict[str, Any]] = [
        {
            "organization_id": ctx.organization_id,
            "id": new_id(),
            "import_id": job.id,
            "line": row.line,
            "column": error.field,
            "code": error.code,
            "reason": error.message,
        }
        for row in batch
        for error in row.errors
    ]
    if contacts:
        await ctx.db.execute(insert(Contact), contacts)
    if errors:
        await ctx.db.execute(insert(ContactImportError), errors)
    job.rows_done += len(batch)
    job.rows_created += len(contacts)
    job.rows_failed += len(batch) - len(contacts)


def _of_import(ctx: Ctx, job: ContactImport) -> dict[str, Any]:
    return {
        "organization_id": ctx.organization_id,
        "id": new_id(),
        "created_by": job.created_by,
        "updated_by": job.created_by,
    }


async def _end(ctx: Ctx, job: ContactImport, state: ImportState, *, reason: str | None = None) -> None:
    job.state, job.reason, job.finished_at = state, reason, clock.now()
    await ctx.db.execute(
        delete(ContactImportChunk)
        .where(ContactImportChunk.organization_id == ctx.organization_id, ContactImportChunk.import_id == job.id)
        .execution_options(synchronize_session=False)
    )
