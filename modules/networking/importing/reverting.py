"""Taking an import back: what it made goes, what it changed is again what it was before.

A contact that was changed after the import stays as it is, and its rows say so: nobody's later work is undone. Its
version goes up all the same, so that a form that was opened in between can't overwrite what has been put back.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import aliased

from core.sdk import Ctx, clock
from modules.networking.contract import ImportReverted
from modules.networking.importing import writing
from modules.networking.models import Contact, ContactImport, ContactImportRow, ContactInteraction
from modules.networking.services.imports import find_import
from modules.networking.services.stages import announce
from modules.networking.services.tagging import drop_imported_tags, untag_imported
from modules.networking.values import ImportState, RevertOutcome, RowOutcome, StageSource

BATCH_CONTACTS = 500
LATER_COLUMNS: writing.Values = {"custom": {}}
"""What a contact had in columns that were not there yet when an older version remembered it."""


async def revert_import(ctx: Ctx, import_id: UUID) -> None:
    """The job: goes on where an earlier run was killed."""
    job = await find_import(ctx, import_id)
    if job.state != ImportState.REVERTING:
        return
    while touched := await _touched(ctx, job):
        kept = await _changed_since(ctx, touched)
        await _put_back(ctx, job, [row for row in touched if row.contact_id not in kept])
        await _tell(ctx, job, [row.contact_id for row in touched], kept)
        job.contacts_reverted += len(touched) - len(kept)
        job.contacts_kept += len(kept)
        await ctx.checkpoint(durable=False)
    await drop_imported_tags(ctx, import_id=job.id)
    job.state, job.finished_at = ImportState.REVERTED, clock.now()
    ctx.emit(ImportReverted(import_id=job.id, reverted=job.contacts_reverted, kept=job.contacts_kept))


def _of(ctx: Ctx, job: ContactImport) -> list[Any]:
    return [ContactImportRow.organization_id == ctx.organization_id, ContactImportRow.import_id == job.id]


async def _touched(ctx: Ctx, job: ContactImport) -> Sequence[Any]:
    """The next contacts: whether the import made them, what they were before its first change, and the version
    that its last change left."""
    contacts = (
        select(
            ContactImportRow.contact_id,
            func.bool_or(ContactImportRow.outcome == RowOutcome.CREATED).label("created"),
            func.max(ContactImportRow.contact_version).label("contact_version"),
            func.min(ContactImportRow.line).filter(ContactImportRow.before.is_not(None)).label("line"),
        )
        .where(*_of(ctx, job), ContactImportRow.contact_version.is_not(None), ContactImportRow.revert.is_(None))
        .group_by(ContactImportRow.contact_id)
        .order_by(ContactImportRow.contact_id)
        .limit(BATCH_CONTACTS)
        .cte("contacts")
    )
    kept = aliased(ContactImportRow)
    found = await ctx.db.execute(
        select(contacts.c.contact_id, contacts.c.created, contacts.c.contact_version, kept.before)
        .select_from(contacts)
        .outerjoin(
            kept,
            (kept.organization_id == ctx.organization_id) & (kept.import_id == job.id) & (kept.line == contacts.c.line),
        )
        .order_by(contacts.c.contact_id)
    )
    return found.all()


async def _changed_since(ctx: Ctx, touched: Sequence[Any]) -> set[UUID]:
    """Locks the contacts. A new one that something was logged with since is a changed one too."""
    ids = [row.contact_id for row in touched]
    mine = (Contact.organization_id == ctx.organization_id, Contact.id.in_(ids))
    locked = await ctx.db.execute(
        select(Contact.id, Contact.version).where(*mine).order_by(Contact.id).with_for_update()
    )
    versions = {row.id: row.version for row in locked}
    logged = await ctx.db.scalars(
        select(Contact.id).where(
            *mine,
            exists().where(
                ContactInteraction.organization_id == Contact.organization_id,
                ContactInteraction.contact_id == Contact.id,
            ),
        )
    )
    met = set(logged)
    return {
        row.contact_id
        for row in touched
        if versions.get(row.contact_id) != row.contact_version or (row.created and row.contact_id in met)
    }


async def _put_back(ctx: Ctx, job: ContactImport, rows: Sequence[Any]) -> None:
    made = [row.contact_id for row in rows if row.created]
    if made:
        await ctx.db.execute(
            delete(Contact)
            .where(Contact.organization_id == ctx.organization_id, Contact.id.in_(made))
            .execution_options(synchronize_session=False)
        )
    await announce(ctx, StageSource.REVERT)
    before = {row.contact_id: LATER_COLUMNS | row.before for row in rows if not row.created}
    await writing.update_contacts(ctx, before)
    await untag_imported(ctx, before.keys(), import_id=job.id)


async def _tell(ctx: Ctx, job: ContactImport, ids: Sequence[UUID], kept: set[UUID]) -> None:
    for outcome, contacts in (
        (RevertOutcome.KEPT, kept),
        (RevertOutcome.REVERTED, set(ids) - kept),
    ):
        if contacts:
            await ctx.db.execute(
                update(ContactImportRow)
                .where(
                    *_of(ctx, job),
                    ContactImportRow.contact_id.in_(contacts),
                    ContactImportRow.contact_version.is_not(None),
                )
                .values(revert=outcome, updated_at=clock.now())
                .execution_options(synchronize_session=False)
            )
