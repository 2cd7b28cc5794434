"""The import's job: go on where the last run stopped, until every row is a contact, a change, or told why not.

The job works in batches; each commits its contacts, its report and its place in the file together, so a run that is
killed goes on from its last batch and no row counts twice. A dry run takes the same way and leaves out the two
statements that write contacts; as it has to remember its earlier rows, one that is killed begins anew.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import delete, select

from core.sdk import Ctx, clock
from modules.networking.contract import ContactsImported
from modules.networking.field_schemas import CUSTOM
from modules.networking.importing import writing
from modules.networking.importing.planning import Decision, Planner, Values, updated
from modules.networking.importing.records import CsvRecords, Records, UnreadableFile
from modules.networking.importing.rows import Row, RowReader
from modules.networking.importing.vcards import VcardRecords
from modules.networking.keys import Key
from modules.networking.models import Contact, ContactImport, ContactImportChunk, ContactImportError, ContactImportRow
from modules.networking.pipeline import STAGE
from modules.networking.services.contacts import country_of
from modules.networking.services.duplicates import Match, claim_all_keys, find_matches
from modules.networking.services.fields import all_fields, held_fields, own_fields
from modules.networking.services.imports import CHUNK_BYTES, end_import, find_import
from modules.networking.services.privacy import erased_among
from modules.networking.services.stages import announce
from modules.networking.services.tagging import tag_imported
from modules.networking.settings import NetworkingSettings
from modules.networking.values import (
    DuplicatePolicy,
    ImportField,
    ImportFormat,
    ImportMode,
    ImportSource,
    ImportState,
    MatchKey,
    RowOutcome,
    StageSource,
)
from modules.networking.visibility import Viewer

BATCH_ROWS = 1000
MAX_ROWS = 250_000
NAMES = {ImportField.FIRST_NAME, ImportField.FULL_NAME}
STORED = (Contact.id, Contact.version, *(getattr(Contact, name) for name in (*writing.TAKEN, *writing.STAMPS)))


type Place = tuple[int, int]
"""A byte and a line of the file."""
type RowsRead = tuple[list[Row], Place]


class Batch(NamedTuple):
    rows: list[Row]
    place: Place
    """Where to go on behind them."""
    read_on: Callable[[], object]
    """Have the batch after it read: best while PostgreSQL is at work, as Python does one thing at a time."""


async def run_import(ctx: Ctx, import_id: UUID, *, viewer: Viewer) -> None:
    job = await find_import(ctx, import_id)
    if job.state not in {ImportState.QUEUED, ImportState.RUNNING}:
        return
    if job.dry_run and job.rows_done:
        await _begin_anew(ctx, job)
    job.state, job.started_at = ImportState.RUNNING, job.started_at or clock.now()
    await ctx.checkpoint()
    try:
        await _take_all(ctx, job, viewer)
    except UnreadableFile as error:
        await end_import(ctx, job, ImportState.FAILED, reason=error.detail)
        return
    job.rows_total = job.rows_done
    await end_import(ctx, job, ImportState.DONE)
    if not job.dry_run:
        ctx.emit(
            ContactsImported(
                import_id=job.id,
                created=job.rows_created,
                updated=job.rows_updated,
                skipped=job.rows_skipped,
                failed=job.rows_failed,
            )
        )


async def reader_of(ctx: Ctx, job: ContactImport) -> RowReader:
    return RowReader(
        columns=job.columns,
        fields=job.fields,
        source=ImportSource(job.source),
        country=await country_of(ctx),
        custom=await held_fields(ctx, own_fields(job.fields)),
    )


async def _take_all(ctx: Ctx, job: ContactImport, viewer: Viewer) -> None:
    if job.mode != ImportMode.UPDATE and not NAMES & set(job.fields):
        raise UnreadableFile("The header line names no column for the first name")
    reader = await reader_of(ctx, job)
    custom = await all_fields(ctx)
    if lost := [key for key in own_fields(job.fields) if key not in custom or custom[key].archived]:
        raise UnreadableFile(f"The field {CUSTOM}{lost[0]}, which a column was to fill, is gone or archived")
    planner = Planner(
        mode=ImportMode(job.mode),
        match_key=MatchKey(job.match_key),
        duplicates=DuplicatePolicy(job.duplicates),
        pipeline=ctx.settings(NetworkingSettings).pipeline,
        required=[key for key, field in custom.items() if field.required and not field.archived],
    )
    async with aclosing(batches(ctx, job, reader)) as read:
        async for batch in read:
            if job.rows_done + len(batch.rows) > MAX_ROWS:
                raise UnreadableFile(f"The file has more than {MAX_ROWS} rows: split it")
            await take(ctx, job, planner, batch, name_of=reader.name_of, viewer=viewer)
            job.bytes_done, job.next_line = batch.place
            await ctx.checkpoint(durable=False)


async def batches(ctx: Ctx, job: ContactImport, reader: RowReader) -> AsyncGenerator[Batch]:
    """Rows as they are read, off the event loop: each batch when it is asked for, or told to be read before."""
    records = _records(job)
    ahead: asyncio.Task[RowsRead] | None = None

    def read() -> RowsRead:
        return [reader.read(record) for record in records.take(BATCH_ROWS)], records.place

    def read_on() -> asyncio.Task[RowsRead]:
        nonlocal ahead
        ahead = ahead or asyncio.create_task(asyncio.to_thread(read))
        return ahead

    async for content in _content(ctx, job):
        await asyncio.to_thread(records.feed, content, final=not content)
        try:
            while True:
                rows, place = await read_on()
                ahead = None
                if not rows:
                    break
                yield Batch(rows, place, read_on)
        finally:  # whoever asks for no more batches need not hear what is wrong with the next
            if ahead is not None:
                await asyncio.gather(ahead, return_exceptions=True)
    job.bytes_done, job.next_line = records.place


def _records(job: ContactImport) -> Records:
    if job.format == ImportFormat.VCARD:
        return VcardRecords(encoding=job.encoding, offset=job.bytes_done, line=job.next_line)
    return CsvRecords(encoding=job.encoding, delimiter=job.delimiter, offset=job.bytes_done, line=job.next_line)


async def _content(ctx: Ctx, job: ContactImport) -> AsyncIterator[bytes]:
    """The file from `bytes_done` on, piece by piece, and nothing at its end."""
    ordinal, skipped = divmod(job.bytes_done, CHUNK_BYTES)
    while content := await ctx.db.scalar(
        select(ContactImportChunk.content).where(
            ContactImportChunk.organization_id == ctx.organization_id,
            ContactImportChunk.import_id == job.id,
            ContactImportChunk.ordinal == ordinal,
        )
    ):
        yield content[skipped:]
        ordinal, skipped = ordinal + 1, 0
    yield b""


async def take(
    ctx: Ctx,
    job: ContactImport,
    planner: Planner,
    batch: Batch,
    *,
    name_of: Callable[[str], str],
    viewer: Viewer,
) -> None:
    """One batch. Contacts that may be changed are locked first, so what is remembered of them is what was there."""
    rows = batch.rows
    if not job.dry_run:
        await claim_all_keys(ctx)
        planner.look_again()
    matches: defaultdict[Key, list[Match]] = defaultdict(list)
    keys = {key for row in rows for key in planner.keys_of(row)}
    for match in await find_matches(ctx, keys, viewer=viewer):
        matches[match.key].append(match)
        if not match.may_change:
            planner.read_only.add(match.contact_id)
    planner.erased |= await erased_among(ctx, keys)
    stored = await _stored(ctx, job, matches) if planner.changes_contacts else {}
    decisions = [planner.decide(row, matches, stored, name_of=name_of) for row in rows]
    counts = Counter(decision.outcome for decision in decisions)
    if job.dry_run:
        _forget_what_is_not_there(planner, decisions)
        batch.read_on()
        await writing.report(ctx, job, decisions, before={}, versions={})
    else:
        await _write(ctx, job, decisions, stored, read_on=batch.read_on)
    job.rows_done += len(rows)
    job.rows_created += counts[RowOutcome.CREATED]
    job.rows_updated += counts[RowOutcome.UPDATED]
    job.rows_skipped += counts[RowOutcome.SKIPPED]
    job.rows_failed += counts[RowOutcome.FAILED]


def _forget_what_is_not_there(planner: Planner, decisions: Sequence[Decision]) -> None:
    """Nobody should look for a contact that only a real run would have made."""
    for decision in decisions:
        if decision.contact_id in planner.created:
            decision.contact_id = None


async def _write(
    ctx: Ctx,
    job: ContactImport,
    decisions: Sequence[Decision],
    stored: Mapping[UUID, Values],
    *,
    read_on: Callable[[], object],
) -> None:
    made: dict[UUID, Values] = {}
    changed: dict[UUID, Values] = {}
    versions: dict[UUID, int] = {}
    reasons: dict[UUID, str | None] = {}
    tags: defaultdict[UUID, list[str]] = defaultdict(list)
    for decision in decisions:
        contact_id, said = decision.contact_id, decision.row.values
        if contact_id is None or decision.outcome not in {RowOutcome.CREATED, RowOutcome.UPDATED}:
            continue
        if STAGE in said:
            reasons[contact_id] = decision.row.stage_reason
        if decision.row.tags:
            tags[contact_id] += decision.row.tags
        if decision.outcome is RowOutcome.CREATED:
            made[contact_id], versions[contact_id] = said, 1
        elif contact_id in made:
            made[contact_id] = updated(writing.DEFAULTS | made[contact_id], said)
        else:
            changed[contact_id] = updated(changed.get(contact_id) or stored[contact_id], said)
    await announce(ctx, StageSource.IMPORT, reasons)
    read_on()
    await writing.insert_contacts(ctx, job, made)
    tagged = await tag_imported(ctx, tags, import_id=job.id, created_by=job.created_by)
    changed = {key: values for key, values in changed.items() if values != stored[key] or key in tagged}
    before = {key: {name: stored[key][name] for name in (*writing.TAKEN, *writing.STAMPS)} for key in changed}
    versions |= {key: stored[key]["version"] + 1 for key in changed}
    await writing.update_contacts(ctx, {key: writing.stamped(job, values) for key, values in changed.items()})
    await writing.report(ctx, job, decisions, before=before, versions=versions)


async def _stored(ctx: Ctx, job: ContactImport, matches: Mapping[Key, Sequence[Match]]) -> dict[UUID, Values]:
    ids = {match.contact_id for found in matches.values() for match in found if not match.is_deleted}
    if not ids:
        return {}
    statement: Any = (
        select(*STORED).where(Contact.organization_id == ctx.organization_id, Contact.id.in_(ids)).order_by(Contact.id)
    )
    found = await ctx.db.execute(statement if job.dry_run else statement.with_for_update())
    return {row.id: dict(row._mapping) for row in found}  # pyright: ignore[reportPrivateUsage]


async def _begin_anew(ctx: Ctx, job: ContactImport) -> None:
    for model in (ContactImportRow, ContactImportError):
        await ctx.db.execute(
            delete(model).where(model.organization_id == ctx.organization_id, model.import_id == job.id)
        )
    job.bytes_done, job.next_line = job.first_byte, job.first_line
    job.rows_done = job.rows_created = job.rows_updated = job.rows_skipped = job.rows_failed = 0
