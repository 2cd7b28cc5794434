"""Makes the seed stack's tables from its models."""

import asyncio

from tests.bench.peers.seed_stack import Base, engine


async def make() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


asyncio.run(make())
