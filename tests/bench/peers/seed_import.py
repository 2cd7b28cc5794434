"""An import as the seed stack does it: each row through Pydantic, its duplicate looked up, added by the ORM, and
committed a thousand at a time. Prints the seconds."""

import asyncio
import csv
import sys
import time
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from tests.bench.peers.seed_stack import Contact, ContactCreate, new_session

BATCH = 1000


async def run(file: Path) -> None:
    tenant = uuid4()
    async with new_session() as session:
        with file.open(newline="") as lines:
            for number, row in enumerate(csv.DictReader(lines)):
                data = ContactCreate.model_validate(row)
                same = (Contact.organization_id == tenant, Contact.email == data.email)
                if await session.scalar(select(Contact.id).where(*same)) is None:
                    session.add(Contact(**data.model_dump(), organization_id=tenant))
                if number % BATCH == 0:
                    await session.commit()
        await session.commit()


started = time.perf_counter()
asyncio.run(run(Path(sys.argv[1])))
sys.stdout.write(f"{time.perf_counter() - started}\n")
