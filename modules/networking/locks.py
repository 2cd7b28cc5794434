"""Locks on what has no row yet, or on more than one row: held until the transaction ends."""

import hashlib

from sqlalchemy import ARRAY, BigInteger, bindparam, func, select

from core.sdk import Ctx

_LOCK = select(func.pg_advisory_xact_lock(func.unnest(bindparam("numbers", type_=ARRAY(BigInteger)))))


async def lock(ctx: Ctx, room: str, *names: object) -> None:
    """Wait until nobody else holds one of these names of the organization. `room` keeps uses apart.

    However many names there are, they are taken in one order, so two that want the same ones can't wait for each other.
    """
    numbers = sorted({_number("networking", room, str(ctx.organization_id), str(name)) for name in names})
    await ctx.db.execute(_LOCK, {"numbers": numbers})


def _number(*parts: str) -> int:
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
