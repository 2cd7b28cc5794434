"""Announcements: what one process changed and every other has to know of within a second.

    await announce(session, "modules", str(organization_id))     # in the transaction that makes the change
    watcher.on("modules", lambda key: states.forget(key))        # in every process

NOTIFY tells each process at once. The same transaction raises the topic's epoch, which every process looks at twice a
second over the very connection that it listens on: a lost connection, or one that silently hears nothing any more, is
noticed by that, and then all that is known of the topic is forgotten. Since the epoch's row is locked until the commit,
changes of one topic commit one after the other: this is for what changes seldom.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import structlog
from sqlalchemy import BigInteger, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from core.db.models import Base
from core.db.tenancy import TenantConnection

log = structlog.get_logger()

CHANNEL = "plugs_announcements"
POLL_SECONDS = 0.5
ANSWER_SECONDS = 0.4
"""For the poll's answer: together with the poll's own interval less than the second in which a change must be known."""
RETRY_SECONDS = 0.25

type Heard = Callable[[str | None], None]
"""Called with the key that changed, or with None where anything of the topic may have."""


class Announcement(Base):
    """How often each topic has changed."""

    __tablename__ = "announcements"
    __table_args__ = ({"schema": "core"},)

    topic: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="0")


_RAISE = text(
    "WITH raised AS (UPDATE core.announcements SET epoch = epoch + 1 WHERE topic = :topic RETURNING epoch) "
    "SELECT pg_notify(:channel, concat_ws(' ', CAST(:topic AS text), epoch::text, CAST(:key AS text))) FROM raised"
)
_LOOK = "SELECT topic, epoch FROM core.announcements"


async def announce(session: AsyncSession, topic: str, key: str) -> None:
    """Have every process told, if and when this transaction commits. A topic is one that a migration has put in."""
    told = await session.execute(_RAISE, {"topic": topic, "channel": CHANNEL, "key": key})
    if told.first() is None:
        raise LookupError(f"no migration has put in the topic {topic!r}")


class Watcher:
    """One process's ear. `run` goes on until it is cancelled, whatever becomes of the server."""

    def __init__(self, connect: Callable[[], Awaitable[TenantConnection]]) -> None:
        self._connect = connect
        self._listeners: dict[str, list[Heard]] = {}
        self._epochs: dict[str, int] = {}

    def on(self, topic: str, heard: Heard) -> None:
        self._listeners.setdefault(topic, []).append(heard)

    async def run(self) -> None:
        while True:
            try:
                await self._watch()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("announcements.unheard", error=f"{type(error).__name__}: {error}")
            self._epochs.clear()
            for topic in self._listeners:
                self._tell(topic, None)
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch(self) -> None:
        """Listen until the connection fails. What changed while nobody listened shows in the first look."""
        connection = await self._connect()
        try:
            await connection.add_listener(CHANNEL, self._hear)
            while True:
                for row in await connection.fetch(_LOOK, timeout=ANSWER_SECONDS):
                    self._note(row["topic"], row["epoch"], None)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            connection.terminate()

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        topic, epoch, key = str(payload).split(" ", 2)
        self._note(topic, int(epoch), key)

    def _note(self, topic: str, epoch: int, key: str | None) -> None:
        """Each epoch is told once. Where one was missed, what it was about is unknown, and so anything."""
        known = self._epochs.get(topic)
        if known is not None and epoch <= known:
            return
        self._epochs[topic] = epoch
        self._tell(topic, key if known is not None and epoch == known + 1 else None)

    def _tell(self, topic: str, key: str | None) -> None:
        for heard in self._listeners.get(topic, ()):
            try:
                heard(key)
            except Exception as error:
                log.exception("announcements.listener_failed", topic=topic, exc_info=error)
