"""Its hook commits, and the switch with it, before anybody knows whether it succeeds."""

from tests.conformance.twinning import Change, before_manifest, listed, sdk

HOOK = """
@hook
async def tenant_enabled(ctx: Ctx) -> None:
    await ctx.db.commit()
"""
CHANGES = [
    Change("from uuid import UUID\n", "import sys\nfrom uuid import UUID\n"),
    sdk("hook"),
    before_manifest(HOOK),
    listed(hooks="sys.modules[__name__]"),
]
