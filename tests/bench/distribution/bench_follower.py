"""A module that follows new contacts, so that creating one leaves a job behind."""

from core.sdk import Ctx, Module, subscribe
from modules.networking.contract import ContactCreated


@subscribe(ContactCreated)
async def follow(ctx: Ctx, event: ContactCreated) -> None:
    """Nothing: what is measured is getting here."""


module = Module(name="bench_follower", title="Bench", optional=["networking"], subscribers=[follow])
