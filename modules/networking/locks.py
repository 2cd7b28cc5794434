"""Locks on what has no row yet, or on more than one row: held until the transaction ends."""

import hashlib

from core.sdk import Ctx


async def lock(ctx: Ctx, room: str, *names: object) -> None:
    """Wait until nobody else holds one of these names of the organization. `room` keeps uses apart."""
    await ctx.db.lock([number_of("networking", room, str(ctx.organization_id), str(name)) for name in names])


def number_of(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
