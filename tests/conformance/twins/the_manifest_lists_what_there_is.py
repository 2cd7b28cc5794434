"""It has an actor that its manifest has forgotten."""

from tests.conformance.twinning import before_manifest, sdk

ACTOR = """
@actor
async def remind(ctx: Ctx) -> None:
    ctx.log.info("reminded")
"""
CHANGES = [sdk("actor"), before_manifest(ACTOR)]
