"""What becomes of an interaction once it is written down: changed, completed, cancelled, deleted; and its reminder.

An interaction is scheduled until it is completed or cancelled, and then stays that. `last_interaction` of its contact
is worked out anew whenever an interaction that took place comes, goes or moves: under a lock on the contact, taken
before looking, so that of two who change it at once the later one sees what the earlier one did.
"""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET
from sqlalchemy import func, select, update

from core.sdk import Conflict, Ctx, FieldError, Invalid, NotFound, check_if_match, clock
from modules.networking import contract
from modules.networking.models import Contact, ContactInteraction
from modules.networking.schemas import InteractionDone, InteractionPatch
from modules.networking.services.contacts import RENAMED
from modules.networking.settings import NetworkingSettings
from modules.networking.values import InteractionStatus
from modules.networking.visibility import changeable_by, shared_for_reading, visible_to

BATCH_REMINDERS = 500
SHORT_NOTICE = timedelta(hours=1)
"""How long before an interaction somebody is reminded whose usual hour would come too late."""


async def find_interaction(
    ctx: Ctx, interaction_id: UUID, *, is_deleted: bool = False, to_change: bool = False
) -> ContactInteraction:
    """Raises `NotFound` where there is none, or its contact is deleted or not for the caller's eyes; and `Forbidden`
    where it is `to_change` and they may only see the contact."""
    statement = (
        select(ContactInteraction, changeable_by(ctx, Contact))
        .join(Contact, Contact.id == ContactInteraction.contact_id)
        .where(
            ContactInteraction.organization_id == ctx.organization_id,
            Contact.organization_id == ctx.organization_id,
            ContactInteraction.id == interaction_id,
            ContactInteraction.is_deleted == is_deleted,
            ~Contact.is_deleted,
            visible_to(ctx, Contact),
        )
    )
    found = (await ctx.db.execute(statement)).one_or_none()
    if found is None:
        raise NotFound("There is no such interaction")
    interaction, may_change = found
    if to_change and not may_change:
        raise shared_for_reading()
    return interaction


async def change_interaction(
    ctx: Ctx, interaction_id: UUID, data: InteractionPatch, *, if_match: str | None
) -> ContactInteraction:
    """Raises `Conflict` where it was cancelled, or is to be reminded of and not scheduled; `Invalid` where it took
    place and would be moved into the future."""
    interaction = await find_interaction(ctx, interaction_id, to_change=True)
    check_if_match(if_match, interaction.version)
    sent = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    values = {RENAMED.get(name, name): value for name, value in sent.items()}
    if interaction.status == InteractionStatus.CANCELLED:
        raise Conflict("The interaction was cancelled", code="cancelled")
    if values.get("remind_at") is not None:
        _check_scheduled(interaction)
    moved = "interaction_date" in values and values["interaction_date"] != interaction.interaction_date
    if moved and interaction.status == InteractionStatus.COMPLETED:
        _check_past(values["interaction_date"])
    changed = [name for name, value in values.items() if getattr(interaction, name) != value]
    for name in changed:
        setattr(interaction, name, values[name])
    if moved and "remind_at" not in values:
        await remind(ctx, interaction)
    if moved or "remind_at" in changed:
        interaction.reminded_at = None
    if changed:
        await ctx.db.flush()
        await keep_last_interaction(ctx, interaction.contact_id)
        names = [name.rstrip("_") for name in changed]
        ctx.emit(contract.InteractionChanged(**_ids(interaction), changed=names))
    return interaction


async def complete(
    ctx: Ctx, interaction_id: UUID, data: InteractionDone, *, if_match: str | None
) -> ContactInteraction:
    """It took place: when it was planned for, or now where that is still to come, unless `data` says otherwise.

    Raises `Conflict` where it is not scheduled, and `Invalid` for a moment in the future.
    """
    interaction = await find_interaction(ctx, interaction_id, to_change=True)
    check_if_match(if_match, interaction.version)
    _check_scheduled(interaction)
    if data.interaction_date is not None:
        _check_past(data.interaction_date)
    interaction.interaction_date = data.interaction_date or min(interaction.interaction_date, clock.now())
    interaction.outcome = interaction.outcome if data.outcome is None else data.outcome
    interaction.status, interaction.remind_at = InteractionStatus.COMPLETED, None
    await ctx.db.flush()
    await keep_last_interaction(ctx, interaction.contact_id)
    ctx.emit(contract.InteractionCompleted(**_ids(interaction)))
    return interaction


async def cancel(ctx: Ctx, interaction_id: UUID, *, if_match: str | None) -> ContactInteraction:
    """Raises `Conflict` where it is not scheduled."""
    interaction = await find_interaction(ctx, interaction_id, to_change=True)
    check_if_match(if_match, interaction.version)
    _check_scheduled(interaction)
    interaction.status, interaction.remind_at = InteractionStatus.CANCELLED, None
    await ctx.db.flush()
    ctx.emit(contract.InteractionCancelled(**_ids(interaction)))
    return interaction


async def delete_interaction(ctx: Ctx, interaction_id: UUID, *, if_match: str | None) -> None:
    interaction = await find_interaction(ctx, interaction_id, to_change=True)
    check_if_match(if_match, interaction.version)
    interaction.is_deleted, interaction.deleted_at = True, clock.now()
    await ctx.db.flush()
    await keep_last_interaction(ctx, interaction.contact_id)
    ctx.emit(contract.InteractionDeleted(**_ids(interaction)))


async def restore_interaction(ctx: Ctx, interaction_id: UUID) -> ContactInteraction:
    """Raises `NotFound` where there is none in the trash."""
    interaction = await find_interaction(ctx, interaction_id, is_deleted=True, to_change=True)
    interaction.is_deleted, interaction.deleted_at = False, None
    await ctx.db.flush()
    await keep_last_interaction(ctx, interaction.contact_id)
    ctx.emit(contract.InteractionRestored(**_ids(interaction)))
    return interaction


async def keep_last_interaction(ctx: Ctx, contact_id: UUID) -> None:
    """Neither the contact's version nor its `updated_at` moves: nobody has changed it."""
    contact = (Contact.organization_id == ctx.organization_id, Contact.id == contact_id)
    await ctx.db.execute(select(Contact.id).where(*contact).with_for_update(key_share=True))
    latest = (
        select(func.max(ContactInteraction.interaction_date))
        .where(
            ContactInteraction.organization_id == ctx.organization_id,
            ContactInteraction.contact_id == contact_id,
            ContactInteraction.status == InteractionStatus.COMPLETED,
            ContactInteraction.interaction_date <= clock.now(),
            ~ContactInteraction.is_deleted,
        )
        .scalar_subquery()
    )
    await ctx.db.execute(
        update(Contact)
        .where(*contact, Contact.last_interaction.is_distinct_from(latest))
        .values(last_interaction=latest, updated_at=Contact.updated_at)
        .execution_options(synchronize_session=False)
    )


async def remind(ctx: Ctx, interaction: ContactInteraction) -> None:
    """Set the reminder that an interaction has where nobody says otherwise; none for what is over or not planned."""
    if interaction.status != InteractionStatus.SCHEDULED or interaction.interaction_date <= clock.now():
        interaction.remind_at = None
        return
    zone = ZoneInfo((await ctx.organization_settings()).get("time_zone", "UTC"))
    interaction.remind_at = usual_reminder(interaction.interaction_date, zone, ctx.settings(NetworkingSettings))


def usual_reminder(moment: datetime, zone: ZoneInfo, settings: NetworkingSettings) -> datetime:
    """At the usual hour of the organization's day, so many days before; short before the moment where that is later.

    An hour that a clock change skips is read as the clock stood before it, one that comes twice as the first.
    """
    day = moment.astimezone(zone).date() - timedelta(days=settings.reminder_days_before)
    usual = datetime.combine(day, time(settings.reminder_hour), zone).astimezone(moment.tzinfo)
    return usual if usual < moment else moment - SHORT_NOTICE


async def tell_due(ctx: Ctx) -> None:
    """Emit `FollowUpDue` once for each reminder that is due.

    The event and the mark commit together; of two that run at once, each takes rows that the other has not.
    """
    while due := await _due(ctx):
        await ctx.db.execute(
            update(ContactInteraction)
            .where(
                ContactInteraction.organization_id == ctx.organization_id,
                ContactInteraction.id.in_([row.interaction_id for row in due]),
            )
            .values(reminded_at=clock.now(), updated_at=ContactInteraction.updated_at)
            .execution_options(synchronize_session=False)
        )
        for row in due:
            ctx.emit(contract.FollowUpDue(**row._mapping))
        await ctx.checkpoint()


async def _due(ctx: Ctx) -> Sequence[Any]:
    living = select(Contact.id).where(
        Contact.organization_id == ctx.organization_id,
        Contact.id == ContactInteraction.contact_id,
        ~Contact.is_deleted,
    )
    found = await ctx.db.execute(
        select(
            ContactInteraction.id.label("interaction_id"),
            ContactInteraction.contact_id,
            ContactInteraction.user_id,
            ContactInteraction.interaction_date,
        )
        .where(
            ContactInteraction.organization_id == ctx.organization_id,
            ContactInteraction.status == InteractionStatus.SCHEDULED,
            ContactInteraction.remind_at <= clock.now(),
            ContactInteraction.reminded_at.is_(None),
            ~ContactInteraction.is_deleted,
            living.exists(),
        )
        .order_by(ContactInteraction.remind_at, ContactInteraction.id)
        .limit(BATCH_REMINDERS)
        .with_for_update(skip_locked=True, of=ContactInteraction)
    )
    return found.all()


def _ids(interaction: ContactInteraction) -> dict[str, Any]:
    return {"interaction_id": interaction.id, "contact_id": interaction.contact_id}


def _check_scheduled(interaction: ContactInteraction) -> None:
    if interaction.status != InteractionStatus.SCHEDULED:
        raise Conflict(f"The interaction is {interaction.status}", code="not-scheduled")


def _check_past(moment: datetime) -> None:
    if moment > clock.now():
        message = "Expected a moment that is not in the future"
        raise Invalid(message, errors=[FieldError(field="interaction_date", code="range", message=message)])
