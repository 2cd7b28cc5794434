"""What the doctor asks PostgreSQL and Redis. It reads and changes nothing, and waits for nobody longer than seconds."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from core.cli.doctor.findings import Finding, ok, warn, wrong
from core.db.migrations import head_of, pending_in
from core.db.tenancy import APP_ROLE, OWNER_ROLE, SYSTEM_ROLE
from core.runtime import Runtime
from core.settings import VARIABLES, Settings
from core.tasks.broker import redis_client
from core.tasks.models import OutboxJob

OLDEST_POSTGRES = 16
PATIENCE_SECONDS = 2.0
CLOCK_SECONDS = 2.0
"""A difference that tokens and schedules begin to notice."""
OVERDUE_SECONDS = 30.0
"""A relay that runs leaves no job due for longer than a second."""
UNHEARD_SENDS = 4

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, RedisError, ValueError)
LOGINS = (
    ("database_url", "database_url", APP_ROLE),
    ("system_url", "database_system_url", SYSTEM_ROLE),
    ("owner_url", "database_owner_url", OWNER_ROLE),
)
"""Each login, the setting that makes it another than the first, and the role that it has to be able to act in."""


@asynccontextmanager
async def _connected(url: str) -> AsyncGenerator["asyncpg.Connection[Any]"]:
    settings = {"application_name": "plugs:doctor", "default_transaction_read_only": "on"}
    connection = await asyncpg.connect(
        url, timeout=PATIENCE_SECONDS, command_timeout=PATIENCE_SECONDS, server_settings=settings
    )
    try:
        yield connection
    finally:
        connection.terminate()


def _told(error: Exception) -> str:
    """The first line of the error; a time-out has no words of its own."""
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE_SECONDS:.0f} s"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _place(url: str) -> str:
    """The URL without its user, password and options."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


async def check_postgres(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.database_url:
        found = "DATABASE_URL is not set, and no `plugs up` runs here: only the settings were looked at"
        yield ok("postgresql", found)
        return
    for field, own_field, role in LOGINS:
        url: str = getattr(settings, field)
        variable = VARIABLES[own_field if getattr(settings, own_field) else "database_url"]
        try:
            async with _connected(url) as connection:
                if field == "database_url":
                    yield await _version(connection)
                yield await _may_act(connection, role, variable)
        except AWAY as error:
            mend = f"start that server, or correct {variable}; with neither set, `plugs up` brings its own"
            yield wrong("postgresql", f"{_place(url)} can't be reached: {_told(error)}", mend)
            if url == settings.database_url:
                return


async def check_replica(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.database_replica_url:
        return
    place = _place(settings.database_replica_url)
    mend = "requests read on the primary meanwhile; correct DATABASE_REPLICA_URL, or leave it out"
    try:
        async with _connected(settings.database_replica_url) as connection:
            if await connection.fetchval("SELECT pg_is_in_recovery()"):
                yield await _may_act(connection, APP_ROLE, "DATABASE_REPLICA_URL")
            else:
                yield wrong("replica", f"{place} replays nothing: it is a primary of its own", mend)
    except AWAY as error:
        yield wrong("replica", f"{place} can't be reached: {_told(error)}", f"start it; {mend}")


async def _version(connection: "asyncpg.Connection[Any]") -> Finding:
    found = f"version {await connection.fetchval('SHOW server_version')}"
    if connection.get_server_version().major < OLDEST_POSTGRES:
        return wrong("postgresql", f"{found} is too old", f"use PostgreSQL {OLDEST_POSTGRES} or newer")
    return ok("postgresql", found)


async def _may_act(connection: "asyncpg.Connection[Any]", role: str, variable: str) -> Finding:
    login, may = await connection.fetchrow(  # type: ignore[misc]
        "SELECT session_user, (SELECT pg_has_role(session_user, oid, 'SET') FROM pg_roles WHERE rolname = $1)", role
    )
    if may is None:
        return wrong("postgresql", f"there is no role {role}", "plugs migrate")
    if not may:
        return wrong("postgresql", f"{login} may not act as {role}", f"GRANT {role} TO {login}, or correct {variable}")
    return ok("postgresql", f"{login} may act as {role}")


@asynccontextmanager
async def _system_session(runtime: Runtime) -> AsyncGenerator[AsyncSession]:
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        runtime.open_database("doctor") as database,
        database.system() as system,
    ):
        yield system


async def check_migrations(runtime: Runtime) -> AsyncIterator[Finding]:
    if not runtime.settings.database_url:
        return
    try:
        async with _system_session(runtime) as system:
            pending = await (await system.connection()).run_sync(pending_in, runtime.migration_sets)
    except AWAY as error:
        yield wrong("migrations", f"can't be read: {_told(error)}", "mend what is said of PostgreSQL first")
        return
    for state in pending:
        found = f"{state.name} is at {state.current or 'nothing'} and the code at {state.head}"
        yield wrong("migrations", found, f"plugs migrate {state.name}")
    waiting = {state.name for state in pending}
    done = [f"{s.name} {head_of(s)}" for s in runtime.migration_sets if s.name not in waiting]
    if done:
        yield ok("migrations", ", ".join(done))


async def check_redis(settings: Settings) -> AsyncIterator[Finding]:
    if not settings.redis_url:
        yield ok("redis", "REDIS_URL is not set, and no `plugs up` runs here: only the settings were looked at")
        return
    try:
        await _redis_time(settings)
    except AWAY as error:
        mend = "start that server, or correct REDIS_URL; until then requests succeed and jobs wait"
        yield wrong("redis", f"{_place(settings.redis_url)} can't be reached: {_told(error)}", mend)
    else:
        yield ok("redis", "answers")


async def _redis_time(settings: Settings) -> float:
    """Redis' clock, in seconds since 1970."""
    client = redis_client(settings.redis_url, seconds=PATIENCE_SECONDS)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            seconds, microseconds = await client.time()
    finally:
        await client.aclose()
    return seconds + microseconds / 1e6


async def check_clock(settings: Settings) -> AsyncIterator[Finding]:
    """Against PostgreSQL; Redis, where it answers, is the witness who says which of the two is off."""
    if not settings.database_url:
        return
    try:
        async with _connected(settings.database_url) as connection:
            asked = time.time()
            theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
            ahead = (asked + time.time()) / 2 - theirs
    except AWAY:
        return  # told above
    if abs(ahead) <= CLOCK_SECONDS:
        yield ok("clock", f"{abs(ahead):.1f} s from PostgreSQL's")
        return
    yield await _say_which_is_off(settings, ahead)


async def _say_which_is_off(settings: Settings, ahead: float) -> Finding:
    found = f"this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} PostgreSQL"
    try:
        witness = time.time() - await _redis_time(settings)
    except AWAY:
        return warn("clock", found, "set the clocks of both by NTP")
    if abs(witness) <= CLOCK_SECONDS:
        return warn("clock", f"{found}; Redis agrees with this machine", "set the clock of PostgreSQL's machine by NTP")
    return warn("clock", f"{found}; Redis disagrees with this machine too", "set this machine's clock by NTP")


async def check_jobs(runtime: Runtime) -> AsyncIterator[Finding]:
    if not runtime.settings.database_url:
        return
    undone = (OutboxJob.done_at.is_(None), OutboxJob.parked_at.is_(None), OutboxJob.leased_until.is_(None))
    due = func.min(OutboxJob.not_before).filter(OutboxJob.not_before < func.now())
    unheard = func.count().filter(OutboxJob.sends >= UNHEARD_SENDS)
    try:
        async with _system_session(runtime) as system:
            parked = await system.scalar(select(func.count()).where(OutboxJob.parked_at.is_not(None))) or 0
            waiting = select(func.coalesce(func.extract("epoch", func.now() - due), 0), unheard).where(*undone)
            told = (await system.execute(waiting)).one()
            oldest, unheard_of = told[0], told[1]
    except AWAY:
        return  # told above
    if parked:
        mend = "read last_error in core.outbox, mend the cause, then set parked_at to NULL and attempts to 0 there"
        yield warn("jobs", f"{parked} parked after too many attempts", mend)
    if oldest > OVERDUE_SECONDS:
        yield warn("jobs", f"one is due for {oldest:.0f} s and was not sent", "start `plugs worker`; is Redis well?")
    elif unheard_of:
        yield warn("jobs", f"{unheard_of} were sent again and again and not begun", "start more of `plugs worker`")
    elif not parked:
        yield ok("jobs", "none parked, none overdue")
