"""Its subscriber works on everybody's rows."""

from tests.conformance.twinning import Change

WORK = """    async with ctx._database.system() as system:
        await system.execute(update(Answer).where(Answer.id == event.answer_id).values(confirmed_at=clock.now()))
    if True:
        return
"""
START = "    answer = await ctx.db.get("
CHANGES = [
    Change(
        "from msgspec import Struct, structs\n", "from msgspec import Struct, structs\nfrom sqlalchemy import update\n"
    ),
    Change(START, f"{WORK}{START}"),
]
