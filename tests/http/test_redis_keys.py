"""What is in Redis belongs to a tenant or, by name, to nobody: there is one way to make a key."""

import ast
import re
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from asking import CONTACTS, operations
from msgspec import structs
from serving import client_for, serving

import core
from core.settings import Settings
from core.tasks.broker import doorbell_channel, make_broker, redis_client
from core.tasks.redis_keys import RedisKeys
from core.testing.tenants import Tenant

CORE = Path(core.__file__).parent
NAMING = {"RedisKeys", "Bell", "Doorbell", "make_broker", "doorbell_channel"}
"""What may be handed the namespace: the one that makes keys, and those that hand it on."""


def test_a_key_names_its_tenant_or_that_it_has_none() -> None:
    keys, organization = RedisKeys("plugs"), UUID(int=7)

    assert keys.of_tenant(organization, "rate", 5) == f"plugs:tenant:{organization}:rate:5"
    assert keys.of_platform("doorbell") == doorbell_channel("plugs") == "plugs:platform:doorbell"
    assert make_broker("redis://127.0.0.1:1", namespace="plugs").namespace == "plugs:platform:queues"


@pytest.mark.parametrize("part", ["", "a:b", "a*", "a b", "tenant\n", "é", "x" * 81])
def test_a_part_can_not_lead_into_another_tenants_keys(part: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        RedisKeys("plugs").of_tenant(uuid4(), part)
    with pytest.raises(AttributeError):
        RedisKeys("plugs").of_tenant("not-an-id", "x")  # type: ignore[arg-type]


def test_the_namespace_is_handed_to_nothing_else() -> None:
    """No key is put together elsewhere: whoever has the namespace in hand is on the list."""
    seen = 0
    for file in [*CORE.rglob("*.py"), *(CORE.parent / "modules").rglob("*.py")]:
        tree = ast.parse(file.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        handed = {
            argument
            for call in calls
            if getattr(call.func, "id", "") in NAMING
            for whole in [*call.args, *(keyword.value for keyword in call.keywords)]
            for argument in ast.walk(whole)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "redis_namespace":
                seen += 1
                assert node in handed, (file, node.lineno)
    assert seen > 3


async def test_every_key_that_requests_leave_behind_is_a_tenants_or_the_platforms(
    settings: Settings, acme: Tenant, globex: Tenant
) -> None:
    own = structs.replace(settings, redis_namespace=uuid4().hex, rate_read="subject=9999/9999 address=9999/9999")
    client = redis_client(own.redis_url, seconds=5)
    async with serving(own) as application:
        for tenant in (acme, globex):
            async with client_for(application, tenant) as asking:
                for operation in operations(application):
                    if operation.method == "GET":
                        await asking.get(operation.path())
                await asking.post(CONTACTS, json={"first_name": "Ada"})
        keys = {key.decode() async for key in client.scan_iter(f"{own.redis_namespace}:*", count=1000)}
    await client.aclose()

    tenants = "|".join(str(tenant.organization_id) for tenant in (acme, globex))
    strays = {k for k in keys if not re.fullmatch(rf"{own.redis_namespace}:(tenant:({tenants})|platform):.+", k)}
    assert strays == set()
    assert sum(":tenant:" in key for key in keys) >= 2
    assert sum(":platform:" in key for key in keys) >= 1
