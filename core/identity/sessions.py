"""A person's own sessions: seen and ended by them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.database import Database
from core.db.statements import Statement
from core.errors import NotFound
from core.identity.models import Session

TOUCH_EVERY = timedelta(minutes=1)
SHOWN = 200


class Sessions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def living(self, user_id: UUID) -> Sequence[Session]:
        """Those that were used last come first; at most `SHOWN`."""
        async with self._database.system() as system:
            found = await system.scalars(
                select(Session)
                .where(Session.user_id == user_id, *is_living(clock.now()))
                .order_by(Session.last_used_at.desc(), Session.id.desc())
                .limit(SHOWN)
            )
            return found.all()

    async def end(self, session_id: UUID, *, user_id: UUID, reason: str) -> None:
        """Raises `NotFound` for a session that is not this person's, or has ended."""
        async with self._database.system() as system:
            if await end_sessions(system, user_id, Session.id == session_id, reason=reason) == 0:
                raise NotFound

    async def end_others(self, session_id: UUID | None, *, user_id: UUID, reason: str) -> int:
        """End all but this one; returns how many."""
        async with self._database.system() as system:
            return await end_sessions(system, user_id, Session.id != session_id, reason=reason)


def is_living(now: datetime | BindParameter[datetime]) -> tuple[ColumnElement[bool], ...]:
    return Session.revoked_at.is_(None), Session.expires_at > now


async def end_sessions(system: AsyncSession, user_id: UUID, *which: ColumnElement[bool], reason: str) -> int:
    """End a person's sessions, in the transaction of what makes it necessary; returns how many."""
    now = clock.now()
    ended = await system.execute(
        update(Session)
        .where(Session.user_id == user_id, *is_living(now), *which)
        .values(revoked_at=now, revoked_reason=reason)
        .returning(Session.id)
        .execution_options(synchronize_session=False)
    )
    return len(ended.all())


_TOUCH = Statement(
    update(Session)
    .where(Session.id == bindparam("session_id"), Session.last_used_at <= bindparam("before"))
    .values(last_used_at=bindparam("now"))
)


async def touch(database: Database, session_id: UUID, last_used_at: datetime) -> None:
    """Note that it is used, at most once a minute."""
    now = clock.now()
    if last_used_at <= now - TOUCH_EVERY:
        await database.as_system(_TOUCH, session_id=session_id, before=now - TOUCH_EVERY, now=now)
