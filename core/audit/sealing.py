"""Sealing the trail, in the background: chaining entries as they are written would make an organization's writers wait
for each other."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select

from core.audit.chain import ADD_SEAL, BOUNDS, DUE, Link, SealKeys
from core.db.database import Database

log = structlog.get_logger()

EVERY = timedelta(seconds=10)
"""How long an entry waits for its seal at most; until then a superuser could still change it unseen."""
LOCK = "audit-sealer"


class Sealer:
    def __init__(self, database: Database, wrapping_keys: Mapping[str, bytes]) -> None:
        """`wrapping_keys` by name, the primary one first."""
        self._database = database
        self._keys = SealKeys(wrapping_keys)

    async def seal(self) -> int:
        """Seal what is committed and not sealed yet, of every organization; returns the number of entries.

        It is one transaction, and of several sealers one works while the others leave it to that one. Entries that
        ought to have been sealed before had a seal that somebody took away. They get no other: it would hide that.
        """
        sealed, tampered = 0, list[UUID]()
        async with self._database.system() as system:
            if not await system.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(LOCK, 0)))):
                return 0
            mark, below = (await system.execute(BOUNDS)).one()
            while due := (await system.execute(DUE, {"mark": mark, "below": below, "skipped": tampered})).all():
                tampered += [row.organization_id for row in due if row.is_late]
                seals = [self._seal(row, below) for row in due if not row.is_late]
                if seals:
                    await system.execute(ADD_SEAL, seals)
                sealed += sum(seal["entries"] for seal in seals)
        for organization_id in tampered:
            log.error("audit.tampered", organization_id=str(organization_id), reason="entries lost their seal")
        return sealed

    def _seal(self, due: Any, below: str) -> dict[str, Any]:
        link = Link(
            organization_id=due.organization_id,
            number=due.number + 1,
            through_xid=due.through_xid,
            through_sequence=due.through_sequence,
            below_xid=below,
            entries=due.entries,
            digest=due.digest,
        )
        made = self._keys.hash(self._keys.primary, due.previous, link)
        log.info("audit.sealed", organization_id=str(link.organization_id), number=link.number, hash=made.hex())
        values = {name: getattr(link, name) for name in Link.__struct_fields__ if name != "digest"}
        return values | {"key_name": self._keys.primary, "hash": made}
