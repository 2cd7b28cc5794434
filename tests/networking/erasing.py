"""Erasing in tests: a person, in all modules."""

from uuid import UUID

from core.privacy.rights import erase_subject
from core.testing.tenants import Tenant


async def erase(tenant: Tenant, subject_id: UUID) -> None:
    ctx = tenant.ctx()
    erased = await erase_subject(ctx, tenant.application.runtime.plugs, subject_id)
    await ctx.close()
    assert [each.error for each in erased] == [None] * len(erased)
