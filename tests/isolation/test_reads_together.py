"""Several reads in one round trip find what each finds by itself."""

from typing import Any

import msgspec
from sqlalchemy import select

from core.db.reads import Read, Together, mine
from core.db.tenancy import TenantContext
from core.testing.tenants import Tenant
from modules.networking.models import Contact
from modules.networking.tag_models import Tag

NAMES = Read(select(Contact.first_name, Contact.first_name.label("names")).where(mine(Contact)).order_by(Contact.notes))
TAGS = Read(select(Tag.id, Tag.name).where(mine(Tag)))
BOTH = Together(names=NAMES, tags=TAGS)


async def found_by(tenant: Tenant) -> dict[str, Any]:
    lane = tenant.database.reads(TenantContext(organization_id=tenant.organization_id))
    [row] = await lane.rows(BOTH)
    return {name: msgspec.json.decode(row[name]) for name in ("names", "tags")}


async def test_each_is_under_its_name_in_its_order_and_of_this_organization_alone(acme: Tenant, globex: Tenant) -> None:
    for notes, name in enumerate(("Cleo", "Ada", "Bob")):
        made = await acme.client.post(
            "/api/v1/networking/contacts", json={"first_name": name, "notes": str(notes), "tags": ["VIP"]}
        )
        assert made.status_code == 201

    found = await found_by(acme)

    assert [row["first_name"] for row in found["names"]] == ["Cleo", "Ada", "Bob"]
    assert [row["names"] for row in found["names"]] == ["Cleo", "Ada", "Bob"]
    assert [row["name"] for row in found["tags"]] == ["VIP"]
    assert await found_by(globex) == {"names": [], "tags": []}
