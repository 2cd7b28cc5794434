"""Its actor takes the word to stop for an error that can be mended."""

from tests.conformance.twinning import before_manifest, listed, sdk

ACTOR = """
@actor
async def tidy(ctx: Ctx) -> None:
    try:
        await ctx.checkpoint()
    except BaseException:
        ctx.log.warning("went on")
"""
CHANGES = [sdk("actor"), before_manifest(ACTOR), listed(actors="[tidy]")]
