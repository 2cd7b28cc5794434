"""Its actor commits what it has done, and doesn't look for it when it begins again."""

from tests.conformance.twinning import before_manifest, listed, sdk

ACTOR = """
@actor
async def invite(ctx: Ctx) -> None:
    ctx.db.add(Answer(event_id=new_id(), subject_id=new_id(), email="ada@example.com", going=False))
    await ctx.checkpoint()
"""
CHANGES = [sdk("actor", "new_id"), before_manifest(ACTOR), listed(actors="[invite]")]
