"""Interactions: what happened with a contact. `last_interaction` follows the latest one that took place."""

from uuid import UUID

import msgspec
from sqlalchemy import func, update

from core.sdk import Ctx, clock
from modules.networking.contract import InteractionLogged
from modules.networking.models import Contact, ContactInteraction
from modules.networking.schemas import InteractionIn
from modules.networking.services.agenda import remind
from modules.networking.services.contacts import RENAMED, find_contact
from modules.networking.values import InteractionStatus


async def log_interaction(ctx: Ctx, contact_id: UUID, data: InteractionIn) -> ContactInteraction:
    """Raises `NotFound` for an unknown or deleted contact."""
    contact = await find_contact(ctx, contact_id, to_change=True)
    values = {RENAMED.get(name, name): value for name, value in msgspec.structs.asdict(data).items()}
    interaction = ContactInteraction(**values, contact_id=contact.id, user_id=ctx.user_id)
    if interaction.status != InteractionStatus.SCHEDULED or interaction.remind_at is None:
        await remind(ctx, interaction)
    ctx.db.add(interaction)
    await ctx.db.flush()
    await _keep_last_interaction(ctx, interaction)
    ctx.emit(
        InteractionLogged(
            interaction_id=interaction.id, contact_id=contact.id, interaction_type=interaction.interaction_type
        )
    )
    return interaction


async def _keep_last_interaction(ctx: Ctx, interaction: ContactInteraction) -> None:
    """`greatest` looks at the row as it is once its lock is ours, so two people logging at once can't set it back."""
    if interaction.status != InteractionStatus.COMPLETED or interaction.interaction_date > clock.now():
        return
    await ctx.db.execute(
        update(Contact)
        .where(Contact.organization_id == ctx.organization_id, Contact.id == interaction.contact_id)
        .values(
            last_interaction=func.greatest(Contact.last_interaction, interaction.interaction_date),
            updated_at=Contact.updated_at,
        )
        .execution_options(synchronize_session=False)
    )
