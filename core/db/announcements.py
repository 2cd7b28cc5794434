"""Announcements: what one process changed and every other has to know of within a second.

    await announce(session, "modules", str(organization_id))     # in the transaction that makes the change
    watcher.on("modules", states.forget)                         # in every process

An announcement is a row and a NOTIFY. The NOTIFY tells each process at once. The rows are what counts: each process
looks for new ones twice a second over the very connection that it listens on, so one that was lost, or hears nothing
any more, makes no difference but half a second. Rows are only ever added, hence no writer waits for another; a look
begins at the oldest transaction that was still under way at the last one, so none that commits late is missed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, cast

import asyncpg
import structlog
from sqlalchemy import BigInteger, Identity, func, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from core.db.database import Database
from core.db.models import Base
from core.db.tenancy import TenantConnection
from core.db.types import Xid8

log = structlog.get_logger()

CHANNEL = "plugs_announcements"
POLL_SECONDS = 0.5
ANSWER_SECONDS = 0.4
"""For a look's answer: together with the time between looks less than the second in which a change must be known."""
RETRY_SECONDS = 0.25

type Heard = Callable[[str | None], None]
"""Called with the key that changed, or with None where anything of the topic may have."""


class Announcement(Base):
    """One change that every process has to know of. Swept after an hour."""

    __tablename__ = "announcements"
    __table_args__ = ({"schema": "core"},)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"), index=True)
    topic: Mapped[str]
    key: Mapped[str]
    announced_at: Mapped[datetime] = mapped_column(server_default=func.now())


_ADD = text("SELECT core.announce(:topic, :key)")
_LOOK = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, id, xid::text AS xid, topic, key
FROM (VALUES (1)) AS always LEFT JOIN core.announcements ON xid >= $1::text::xid8 ORDER BY id
"""
"""What may be new, and from where to look the next time; one row without an id where there is nothing."""


async def announce(session: AsyncSession, topic: str, key: str) -> None:
    """Have every process told, if and when this transaction commits."""
    await session.execute(_ADD, {"topic": topic, "key": key})


class Watcher:
    """One process's ear. `run` goes on until it is cancelled, whatever becomes of the server."""

    def __init__(self, connect: Callable[[], Awaitable[TenantConnection]]) -> None:
        """`connect` opens a connection of the system role: announcements are no tenant's."""
        self._connect = connect
        self._listeners: dict[str, list[Heard]] = {}
        self._horizon = ""
        self._told: set[int] = set()
        """Announcements from the horizon on that were passed on."""

    def on(self, topic: str, heard: Heard) -> None:
        self._listeners.setdefault(topic, []).append(heard)

    async def run(self) -> None:
        while True:
            try:
                await self._watch()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("announcements.unheard", error=f"{type(error).__name__}: {error}")
            self._tell_all()
            await asyncio.sleep(RETRY_SECONDS)

    async def look(self, connection: "TenantConnection | asyncpg.Connection[asyncpg.Record]") -> None:
        """Pass on all that is committed by now."""
        before = frozenset(self._told)
        rows = await connection.fetch(_LOOK, self._horizon or "0", timeout=ANSWER_SECONDS)
        for row in rows:
            if row["id"] is not None:
                self._pass_on(row["id"], row["topic"], row["key"])
        self._horizon = rows[0]["horizon"]
        again = {row["id"] for row in rows if row["id"] is not None and int(row["xid"]) >= int(self._horizon)}
        self._told = again | (self._told - before)

    async def catch_up(self, database: Database) -> None:
        """Pass on, over a connection of the pool, all that is committed by now; where that can't be done, it may be
        anything."""
        try:
            async with database.system() as system:
                connection = await (await system.connection()).get_raw_connection()
                await self.look(cast("TenantConnection", connection.driver_connection))
        except (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("announcements.not_caught_up", error=f"{type(error).__name__}: {error}")
            self._tell_all()

    async def _watch(self) -> None:
        """Listen until the connection fails. Of what was announced before, all that is known is forgotten."""
        connection = await self._connect()
        try:
            await connection.add_listener(CHANNEL, self._hear)
            self._horizon = await connection.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
            self._told.clear()
            self._tell_all()
            while True:
                await self.look(connection)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            connection.terminate()

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        number, topic, key = str(payload).split(" ", 2)
        self._pass_on(int(number), topic, key)

    def _pass_on(self, number: int, topic: str, key: str) -> None:
        if number not in self._told:
            self._told.add(number)
            self._tell(topic, key)

    def _tell_all(self) -> None:
        for topic in self._listeners:
            self._tell(topic, None)

    def _tell(self, topic: str, key: str | None) -> None:
        for heard in self._listeners.get(topic, ()):
            try:
                heard(key)
            except Exception as error:
                log.exception("announcements.listener_failed", topic=topic, exc_info=error)
