"""The two rights of a person: to have what is held about them, and to have it erased.

Both go by the columns that models mark `SubjectId` and `Pii`, and then ask the module's own hook about the rest. Each
acts in the organization of its `ctx` and sees no other; modules that are off hold data as well, and are not left out.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import structlog
from msgspec import Struct
from sqlalchemy import func, select, update
from sqlalchemy.engine import CursorResult

from core import clock
from core.errors import PlugsError
from core.plugs.discovery import HOOK_SECONDS, Plugs
from core.privacy.subjects import SubjectTable, subject_tables
from core.tasks.context import Ctx

log = structlog.get_logger()

BATCH = 500


class Held(Struct, frozen=True, kw_only=True):
    """Something that is held about a person."""

    module: str
    table: str | None
    """None for what the module's own hook told."""
    row: dict[str, Any]


class Erasure(Struct, frozen=True, kw_only=True):
    """What was erased of a person in one module."""

    module: str
    rows: dict[str, int]
    """By table, those that said something about the person; nothing else is listed."""
    error: str | None = None
    """Why nothing of this module was erased. Trying again does no harm."""


class _Person(Struct, frozen=True, kw_only=True):
    ids: list[UUID]
    """That asked for first, then those under which modules know the same person."""
    failed: dict[str, str]
    """By module, why it could not say."""


class Incomplete(PlugsError):
    """Some modules could not say what they hold; all that the others hold was told before."""

    code = "export-incomplete"
    title = "Some modules could not say what they hold"


async def export_subject(ctx: Ctx, plugs: Plugs, subject_id: UUID) -> AsyncGenerator[Held]:
    """Everything that is held about a person, module by module, a few hundred rows in memory at a time.

    Raises `Incomplete`, after everything else was told, where a module's hook failed or took too long for a row.
    """
    person = await _known_as(ctx, plugs, subject_id)
    failed = set(person.failed)
    for plug in plugs:
        for found in subject_tables(plug.name):
            async for row in _rows(ctx, found, person.ids):
                yield Held(module=plug.name, table=found.name, row=row)
        try:
            for each in person.ids:
                async for row in _told(ctx, plugs, plug.name, each):
                    yield Held(module=plug.name, table=None, row=row)
        except Exception as error:
            log.exception("hook.failed", module=plug.name, hook="export_subject", exc_info=error)
            failed.add(plug.name)
    if failed:
        raise Incomplete(f"{', '.join(sorted(failed))} could not say what they hold")


async def _known_as(ctx: Ctx, plugs: Plugs, subject_id: UUID) -> _Person:
    ids = {subject_id: None}
    failed: dict[str, str] = {}
    for plug in plugs:
        try:
            async with ctx.db.begin_nested():
                ids |= dict.fromkeys(await plugs.ask(plug.name, "same_subject", ctx=ctx, subject_id=subject_id) or [])
        except Exception as error:
            log.exception("hook.failed", module=plug.name, hook="same_subject", exc_info=error)
            failed[plug.name] = type(error).__name__
    return _Person(ids=list(ids), failed=failed)


async def _rows(ctx: Ctx, found: SubjectTable, ids: Sequence[UUID]) -> AsyncGenerator[dict[str, Any]]:
    """The row's personal columns, and what tells it apart: its id, whom it is about, and when it was made."""
    names = dict.fromkeys(["id", "created_at", *(c.name for c in (*found.subjects, *found.personal))])
    columns = [found.table.c[name] for name in names if name in found.table.c]
    statement = select(*columns).where(found.about(ctx.organization_id, *ids)).order_by(found.table.c.id)
    result = await ctx.db.stream(statement.execution_options(yield_per=BATCH))
    async for row in result.mappings():
        yield dict(row)


async def _told(ctx: Ctx, plugs: Plugs, module: str, subject_id: UUID) -> AsyncGenerator[dict[str, Any]]:
    """What the hook tells, in a savepoint: a statement of its that fails harms no other module's."""
    for rows in plugs.stream(module, "export_subject", ctx=ctx, subject_id=subject_id):
        iterator = aiter(rows)
        async with ctx.db.begin_nested():
            while (row := await _next(iterator)) is not None:
                yield row


async def _next(iterator: Any) -> dict[str, Any] | None:
    async with asyncio.timeout(HOOK_SECONDS):
        return await anext(iterator, None)


async def erase_subject(ctx: Ctx, plugs: Plugs, subject_id: UUID, *, dry_run: bool = False) -> list[Erasure]:
    """Remove what is held about a person, each module in a transaction of its own, and say how much that was.

    It commits after each module, so `ctx` is one made for this. A module that fails is rolled back and told of, and
    the others go on; erasing again finishes what is left. `dry_run` counts and changes nothing: hooks are not asked,
    since they may reach beyond the database.
    """
    person = await _known_as(ctx, plugs, subject_id)
    await ctx.rollback()  # nothing was written; each module begins anew
    return [
        Erasure(module=plug.name, rows={}, error=person.failed[plug.name])
        if plug.name in person.failed
        else await _erase(ctx, plugs, plug.name, person.ids, dry_run=dry_run)
        for plug in plugs
    ]


async def _erase(ctx: Ctx, plugs: Plugs, module: str, ids: Sequence[UUID], *, dry_run: bool) -> Erasure:
    try:
        if not dry_run:
            await _ask(ctx, plugs, module, "suppress_subject", ids)
        rows: dict[str, int] = {}
        for found in subject_tables(module):
            if found.personal and (count := await _clear(ctx, found, ids, dry_run=dry_run)):
                rows[found.name] = count
        if not dry_run:
            await _ask(ctx, plugs, module, "erase_subject", ids)
            await ctx.commit()
    except Exception as error:
        await ctx.rollback()
        log.exception("privacy.not_erased", module=module, exc_info=error)
        return Erasure(module=module, rows={}, error=type(error).__name__)
    return Erasure(module=module, rows=rows)


async def _ask(ctx: Ctx, plugs: Plugs, module: str, hook: str, ids: Sequence[UUID]) -> None:
    for each in ids:
        await plugs.ask(module, hook, ctx=ctx, subject_id=each)


async def _clear(ctx: Ctx, found: SubjectTable, ids: Sequence[UUID], *, dry_run: bool) -> int:
    held = found.about(ctx.organization_id, *ids) & found.is_uncleared()
    if dry_run:
        return await ctx.db.scalar(select(func.count()).select_from(found.table).where(held)) or 0
    table = found.table
    result: CursorResult[Any] = await ctx.db.execute(  # pyright: ignore[reportAssignmentType]
        update(table)
        .where(held)
        .values({**found.cleared(), "version": table.c.version + 1, "updated_at": clock.now()})
        .execution_options(synchronize_session=False)
    )
    return result.rowcount
