"""What networking does when the core asks."""

from core.sdk import Ctx, hook
from modules.networking.demo import demo_contacts
from modules.networking.services.contacts import create_contact


@hook
async def seed_demo(ctx: Ctx) -> None:
    for contact in demo_contacts(str(ctx.organization_id)):
        await create_contact(ctx, contact)
