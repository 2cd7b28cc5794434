"""Drafts that name somebody who has been erased: nobody may ever start them, so they would lie there for good."""

from sqlalchemy import select

from core.sdk import Ctx
from modules.networking.importing.records import UnreadableFile
from modules.networking.importing.taking import batches, reader_of
from modules.networking.models import ContactImport
from modules.networking.services.imports import end_import, find_import
from modules.networking.services.privacy import erased_among
from modules.networking.values import ImportState

REASON = "The file named somebody who has been erased: upload it without them"


async def discard_erased(ctx: Ctx) -> None:
    """The job: read every draft as an import would, and end those that hold an erased person."""
    drafts = await ctx.db.scalars(
        select(ContactImport.id)
        .where(ContactImport.organization_id == ctx.organization_id, ContactImport.state == ImportState.DRAFT)
        .order_by(ContactImport.id)
    )
    for draft_id in drafts.all():
        job = await find_import(ctx, draft_id, lock=True)
        if job.state == ImportState.DRAFT and await _names_erased(ctx, job):
            await end_import(ctx, job, ImportState.FAILED, reason=REASON)


async def _names_erased(ctx: Ctx, job: ContactImport) -> bool:
    """What can't be read can't be said to be free of them. An import whose encoding or delimiter is none never was a
    draft of ours, and holds nothing that could be started."""
    place = job.bytes_done, job.next_line
    try:
        async for batch in batches(ctx, job, await reader_of(ctx, job)):
            if await erased_among(ctx, {key for row in batch.rows for key in row.keys}):
                return True
    except UnreadableFile:
        return True
    except (LookupError, TypeError):
        return False
    finally:
        job.bytes_done, job.next_line = place
    return False
