"""The local demo: two organizations, so that the wall between tenants can be tried out at once."""

from core.db.database import Database
from core.identity.directory import create_organization, find_owner
from core.identity.models import Organization
from core.identity.passwords import hash_password
from core.principal import Principal, PrincipalKind
from core.runtime import Runtime
from core.tasks.context import Ctx

MARK = "demo_data"
ORGANIZATIONS = {"acme": "Acme Corporation", "globex": "Globex Industries"}


def owner_of(slug: str) -> str:
    return f"owner@{slug}.example"


async def make_demo(runtime: Runtime, database: Database) -> list[str]:
    """Make what is missing; returns the slugs that were made.

    An organization and its data are made in two transactions, the data last: one that has no data yet, because an
    earlier run was cut short, gets it now.
    """
    made: list[str] = []
    password_hash = await hash_password(runtime.settings.demo_password)
    for slug, name in ORGANIZATIONS.items():
        await create_organization(
            database,
            name=name,
            slug=slug,
            owner_email=owner_of(slug),
            owner_names=(name.split()[0], "Owner"),
            password_hash=password_hash,
        )
        found = await find_owner(database, slug)
        if found is not None and await _fill(
            runtime, database, Principal(kind=PrincipalKind.OPERATOR, organization_id=found[0], user_id=found[1])
        ):
            made.append(slug)
    return made


async def _fill(runtime: Runtime, database: Database, principal: Principal) -> bool:
    """One transaction for the data of all modules, with a mark in the organization's settings that it is done."""
    ctx = Ctx(
        principal=principal,
        database=database,
        registry=runtime.registry,
        cursors=runtime.cursors,
        modules=await runtime.module_states(database).of(principal.organization_id),
    )
    try:
        organization = await ctx.db.get_one(Organization, principal.organization_id, with_for_update=True)
        if organization.settings.get(MARK):
            return False
        await runtime.plugs.seed_demo(ctx)
        organization.settings = {**organization.settings, MARK: True}
        await ctx.commit()
    finally:
        await ctx.close()
    return True
