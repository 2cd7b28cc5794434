"""Each time that it is enabled it makes its first row again."""

from tests.conformance.twinning import Change, before_manifest, listed, sdk

HOOK = """
@hook
async def tenant_enabled(ctx: Ctx) -> None:
    ctx.db.add(Answer(event_id=new_id(), subject_id=new_id(), email="ada@example.com", going=False))
"""
CHANGES = [
    Change("from uuid import UUID\n", "import sys\nfrom uuid import UUID\n"),
    sdk("hook", "new_id"),
    before_manifest(HOOK),
    listed(hooks="sys.modules[__name__]"),
]
