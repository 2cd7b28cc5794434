"""What networking does when the core asks."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from core.sdk import Ctx, hook
from modules.networking.actors import discard_drafts
from modules.networking.demo import demo_contacts
from modules.networking.services import privacy
from modules.networking.services.contacts import create_contact
from modules.networking.services.fields import refuse_unknown_needs
from modules.networking.settings import NetworkingSettings


@hook
async def validate_settings(ctx: Ctx, settings: NetworkingSettings) -> None:
    await refuse_unknown_needs(ctx, settings.pipeline)


@hook
async def seed_demo(ctx: Ctx) -> None:
    for contact in demo_contacts(str(ctx.organization_id)):
        await create_contact(ctx, contact)


@hook
async def same_subject(ctx: Ctx, subject_id: UUID) -> list[UUID]:
    return await privacy.same_person(ctx, subject_id)


@hook
def export_subject(ctx: Ctx, subject_id: UUID) -> AsyncIterator[dict[str, Any]]:
    return privacy.held(ctx, subject_id)


@hook
async def suppress_subject(ctx: Ctx, subject_id: UUID) -> None:
    if await privacy.suppress(ctx, subject_id):
        ctx.enqueue(discard_drafts)


@hook
async def erase_subject(ctx: Ctx, subject_id: UUID) -> None:
    await privacy.forget(ctx, subject_id)
