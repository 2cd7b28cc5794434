"""Ledger: a third party's module for tests of faults. What was asked for, and what took effect, can be counted."""

import asyncio

from msgspec import Struct

from core.sdk import Ctx, Event, FromQuery, JSONBody, Module, Permission, actor, get, post, requires

READ, WRITE = Permission("ledger:read", "See entries"), Permission("ledger:write", "Make entries")


class Entered(Event, frozen=True, kw_only=True):
    """The effect of a job: one for each entry."""

    type = "ledger.entered"
    number: int


class EntryIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    number: int
    seconds: float = 0
    """How long the job takes, after it has written and before it commits."""
    slow_queue: bool = False


@actor
async def enter(ctx: Ctx, *, number: int, seconds: float) -> None:
    ctx.emit(Entered(number=number))
    await ctx.db.flush()
    await asyncio.sleep(seconds)


@actor(queue="slow")
async def enter_slowly(ctx: Ctx, *, number: int, seconds: float) -> None:
    ctx.emit(Entered(number=number))
    await ctx.db.flush()
    await asyncio.sleep(seconds)


@post("/entries", operation_id="add_entry", status_code=202, guards=[requires(WRITE)])
async def add_entry(ctx: Ctx, data: JSONBody[EntryIn]) -> None:
    ctx.enqueue(enter_slowly if data.slow_queue else enter, number=data.number, seconds=data.seconds)


@get("/patience", operation_id="be_patient", guards=[requires(READ)])
async def be_patient(ctx: Ctx, seconds: FromQuery[float]) -> dict[str, float]:
    """A request that is in flight for a while."""
    await asyncio.sleep(seconds)
    return {"seconds": seconds}


module = Module(
    name="ledger",
    title="Ledger",
    permissions=[READ, WRITE],
    emits=[Entered],
    routes=[add_entry, be_patient],
    actors=[enter, enter_slowly],
)
