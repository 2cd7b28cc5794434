"""Background work of networking."""

from datetime import timedelta
from uuid import UUID

from core.sdk import Ctx, Schedule, actor, subscribe
from modules.networking import contract
from modules.networking.importing import drafts, reverting, taking
from modules.networking.score_models import ScoreRun
from modules.networking.services import agenda, embeddings, scores, similarity


@actor(queue="imports")
async def run_import(ctx: Ctx, *, import_id: UUID, viewer: tuple[UUID, ...] = ()) -> None:
    """`viewer` is who started it: what they may not see is nobody whom a row could match."""
    await taking.run_import(ctx, import_id, viewer=list(viewer))


@actor(queue="imports")
async def revert_import(ctx: Ctx, *, import_id: UUID) -> None:
    await reverting.revert_import(ctx, import_id)


@actor(queue="imports")
async def discard_drafts(ctx: Ctx) -> None:
    await drafts.discard_erased(ctx)


@actor(queue="imports")
async def scan_duplicates(ctx: Ctx, *, after: UUID | None) -> None:
    """A stretch of the contacts, in the order of their ids; what is left is a job of its own."""
    if (last := await similarity.scan(ctx, after=after)) is not None:
        ctx.enqueue(scan_duplicates, after=last)


@actor(queue="scores")
async def recompute_scores(ctx: Ctx, *, run_id: UUID) -> None:
    await scores.recompute(ctx, run_id)


async def start_run(ctx: Ctx) -> ScoreRun:
    """Have all scores recomputed as of now."""
    run = await scores.begin_run(ctx)
    ctx.enqueue(recompute_scores, run_id=run.id)
    return run


@actor
async def refresh_scores(ctx: Ctx) -> None:
    """What has faded since yesterday."""
    await start_run(ctx)


@subscribe(contract.InteractionLogged)
async def score_after_interaction(ctx: Ctx, event: contract.InteractionLogged) -> None:
    await scores.score_contact(ctx, event.contact_id)


@subscribe(contract.InteractionCompleted)
async def score_after_completion(ctx: Ctx, event: contract.InteractionCompleted) -> None:
    await scores.score_contact(ctx, event.contact_id)


@subscribe(contract.InteractionChanged)
async def score_after_change(ctx: Ctx, event: contract.InteractionChanged) -> None:
    await scores.score_contact(ctx, event.contact_id)


@subscribe(contract.InteractionDeleted)
async def score_after_deletion(ctx: Ctx, event: contract.InteractionDeleted) -> None:
    await scores.score_contact(ctx, event.contact_id)


@subscribe(contract.InteractionRestored)
async def score_after_restoration(ctx: Ctx, event: contract.InteractionRestored) -> None:
    await scores.score_contact(ctx, event.contact_id)


@subscribe(contract.ContactCreated)
async def score_new_contact(ctx: Ctx, event: contract.ContactCreated) -> None:
    await scores.score_contact(ctx, event.contact_id)


@subscribe(contract.ContactUpdated)
async def score_changed_contact(ctx: Ctx, event: contract.ContactUpdated) -> None:
    if not set(scores.SCORED).isdisjoint(event.changed):
        await scores.score_contact(ctx, event.contact_id)


@subscribe(contract.ContactsMerged)
async def score_merged_contact(ctx: Ctx, event: contract.ContactsMerged) -> None:
    await scores.score_contact(ctx, event.survivor_id)


@subscribe(contract.ContactsUnmerged)
async def score_unmerged_contacts(ctx: Ctx, event: contract.ContactsUnmerged) -> None:
    for contact_id in sorted((event.survivor_id, event.restored_id)):
        await scores.score_contact(ctx, contact_id)


@subscribe(contract.ContactsImported)
async def score_after_import(ctx: Ctx, event: contract.ContactsImported) -> None:
    if event.created or event.updated:
        await start_run(ctx)


@actor
async def tell_reminders(ctx: Ctx) -> None:
    await agenda.tell_due(ctx)


@actor
async def embed_contacts(ctx: Ctx) -> None:
    await embeddings.embed_stale(ctx)


ACTORS = (
    run_import,
    revert_import,
    discard_drafts,
    scan_duplicates,
    recompute_scores,
    refresh_scores,
    tell_reminders,
    embed_contacts,
)
SUBSCRIBERS = (
    score_after_interaction,
    score_after_completion,
    score_after_change,
    score_after_deletion,
    score_after_restoration,
    score_new_contact,
    score_changed_contact,
    score_merged_contact,
    score_unmerged_contacts,
    score_after_import,
)
SCHEDULES = (
    Schedule(actor=refresh_scores, every=timedelta(days=1)),
    Schedule(actor=tell_reminders, every=timedelta(minutes=5)),
    Schedule(actor=embed_contacts, every=timedelta(minutes=5)),
)
