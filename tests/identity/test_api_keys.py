"""API keys: what a program may do, for how long, and never more than its maker."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import time_machine
from sqlalchemy import event, select, text, update

from core import clock
from core.identity.api_keys import PREFIX, hash_key, is_well_formed, new_key
from core.identity.credential_models import ApiKey
from core.identity.models import Membership, Organization, User
from core.permissions import Role
from core.testing.tenants import Tenant, client_of, make_member

KEYS, CONTACTS = "/api/v1/api-keys", "/api/v1/networking/contacts"
READ, WRITE = "networking:read", "networking:write"
ADA = {"first_name": "Ada"}


async def make_key(tenant: Tenant, *scopes: str, **others: Any) -> dict[str, Any]:
    answer = await tenant.client.post(KEYS, json={"name": "CRM", "scopes": list(scopes or [READ]), **others})
    assert answer.status_code == 201, answer.text
    return answer.json()


def with_key(tenant: Tenant, made: dict[str, Any]) -> httpx.AsyncClient:
    return client_of(tenant.application, token=made["key"])


async def test_a_key_is_let_in_with_its_scopes_and_no_more(acme: Tenant) -> None:
    reader, writer = with_key(acme, await make_key(acme, READ)), with_key(acme, await make_key(acme, READ, WRITE))

    assert (await reader.get(CONTACTS)).status_code == 200
    refused = await reader.post(CONTACTS, json=ADA)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await writer.post(CONTACTS, json=ADA)).status_code == 201


async def test_a_key_is_of_one_organization(acme: Tenant, globex: Tenant) -> None:
    await acme.client.post(CONTACTS, json=ADA)

    found = await with_key(globex, await make_key(globex)).get(CONTACTS)

    assert found.json()["items"] == []


async def test_only_a_hash_of_a_key_is_stored(acme: Tenant) -> None:
    made = await make_key(acme)

    async with acme.database.system() as system:
        rows = (await system.scalars(text("SELECT row_to_json(k)::text FROM core.api_keys AS k"))).all()
        hashes = (await system.scalars(select(ApiKey.key_hash))).all()

    assert hash_key(made["key"]) in hashes
    secret = made["key"].removeprefix(PREFIX)
    assert all(secret not in row and secret[6:] not in row for row in rows)
    assert "key" not in (await acme.client.get(KEYS)).json()["items"][0]


async def test_keys_are_listed_without_the_keys(acme: Tenant) -> None:
    made = [await make_key(acme, name=f"Key {number}") for number in range(3)]

    first = (await acme.client.get(KEYS, params={"limit": 2, "sort": "name"})).json()
    rest = (await acme.client.get(KEYS, params={"limit": 2, "sort": "name", "cursor": first["next_cursor"]})).json()

    assert [key["name"] for key in first["items"] + rest["items"]] == ["Key 0", "Key 1", "Key 2"]
    assert first["items"][0].keys() == made[0]["api_key"].keys()
    assert first["items"][0]["id"] == made[0]["api_key"]["id"]
    assert made[0]["key"].startswith(first["items"][0]["hint"])


@pytest.mark.parametrize("scopes", [["networking:fly"], ["api_keys:write"], ["api_keys:read", READ]])
async def test_no_key_gets_what_keys_can_not_have(acme: Tenant, scopes: list[str]) -> None:
    refused = await acme.client.post(KEYS, json={"name": "CRM", "scopes": scopes})

    assert (refused.status_code, refused.json()["code"]) == (403, "beyond-own-role")


async def test_no_key_gets_more_than_its_maker_has(acme: Tenant) -> None:
    admin, beyond = await make_member(acme, Role.ADMIN), "organization:delete"

    refused = await admin.client.post(KEYS, json={"name": "CRM", "scopes": [READ, beyond]})

    assert (refused.status_code, refused.json()["code"]) == (403, "beyond-own-role")
    assert (await acme.client.post(KEYS, json={"name": "CRM", "scopes": [READ, beyond]})).status_code == 201


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MANAGER])
async def test_only_who_may_makes_keys(acme: Tenant, role: Role) -> None:
    member = await make_member(acme, role)

    assert (await member.client.post(KEYS, json={"name": "CRM", "scopes": [READ]})).status_code == 403
    assert (await member.client.get(KEYS)).status_code == 403


async def test_a_demoted_makers_key_is_demoted_with_its_next_request(acme: Tenant) -> None:
    admin = await make_member(acme, Role.ADMIN)
    program = with_key(admin, await make_key(admin, READ, WRITE))
    assert (await program.post(CONTACTS, json=ADA)).status_code == 201

    async with acme.system() as system:
        its_maker = update(Membership).where(Membership.user_id == admin.user_id)
        await system.execute(its_maker.values(role=Role.VIEWER.value))

    assert (await program.post(CONTACTS, json=ADA)).status_code == 403
    assert (await program.get(CONTACTS)).status_code == 200


@pytest.mark.parametrize("what", ["disabled", "deleted", "removed", "suspended"])
async def test_a_key_ends_with_its_maker(acme: Tenant, what: str) -> None:
    admin = await make_member(acme, Role.ADMIN)
    program = with_key(admin, await make_key(admin))
    statements = {
        "disabled": update(User).where(User.id == admin.user_id).values(is_active=False),
        "deleted": update(User).where(User.id == admin.user_id).values(is_deleted=True),
        "removed": update(Membership).where(Membership.user_id == admin.user_id).values(is_active=False),
        "suspended": update(Organization).where(Organization.id == acme.organization_id).values(is_active=False),
    }

    async with acme.system() as system:
        await system.execute(statements[what])

    assert (await program.get(CONTACTS)).status_code == (403 if what == "suspended" else 401)


async def test_a_revoked_key_is_out_with_its_next_request(acme: Tenant) -> None:
    made = await make_key(acme)
    program = with_key(acme, made)
    assert (await program.get(CONTACTS)).status_code == 200

    assert (await acme.client.delete(f"{KEYS}/{made['api_key']['id']}")).status_code == 204

    assert (await program.get(CONTACTS)).status_code == 401
    assert (await acme.client.get(KEYS)).json()["items"][0]["revoked_at"] is not None


async def test_a_key_ends_when_it_was_to_end(acme: Tenant) -> None:
    program = with_key(acme, await make_key(acme, expires_at=(clock.now() + timedelta(hours=1)).isoformat()))
    assert (await program.get(CONTACTS)).status_code == 200

    with time_machine.travel(clock.now() + timedelta(hours=1, seconds=1), tick=True):
        assert (await program.get(CONTACTS)).status_code == 401


async def test_a_key_can_not_end_before_it_begins(acme: Tenant) -> None:
    ended = (clock.now() - timedelta(seconds=1)).isoformat()

    refused = await acme.client.post(KEYS, json={"name": "CRM", "scopes": [READ], "expires_at": ended})

    assert (refused.status_code, refused.json()["code"]) == (409, "ends-in-the-past")


async def test_a_replaced_key_works_until_the_overlap_is_over(acme: Tenant) -> None:
    old = await make_key(acme, READ, WRITE)
    until = (clock.now() + timedelta(hours=1)).isoformat()

    answer = await acme.client.post(f"{KEYS}/{old['api_key']['id']}/rotate", json={"old_works_until": until})

    new = answer.json()
    assert (new["api_key"]["name"], new["api_key"]["scopes"]) == ("CRM", [READ, WRITE])
    assert new["key"] != old["key"]
    before, after = with_key(acme, old), with_key(acme, new)
    assert [(await each.get(CONTACTS)).status_code for each in (before, after)] == [200, 200]
    with time_machine.travel(clock.now() + timedelta(seconds=3601), tick=True):
        assert [(await each.get(CONTACTS)).status_code for each in (before, after)] == [401, 200]


async def test_replacing_a_key_does_not_make_it_live_longer(acme: Tenant) -> None:
    ends = (clock.now() + timedelta(minutes=5)).isoformat()
    old = await make_key(acme, expires_at=ends)

    new = (await acme.client.post(f"{KEYS}/{old['api_key']['id']}/rotate", json={})).json()

    with time_machine.travel(clock.now() + timedelta(minutes=6), tick=True):
        assert (await with_key(acme, old).get(CONTACTS)).status_code == 401
        assert (await with_key(acme, new).get(CONTACTS)).status_code == 401


async def test_a_revoked_key_has_no_successor(acme: Tenant) -> None:
    made = await make_key(acme)
    await acme.client.delete(f"{KEYS}/{made['api_key']['id']}")

    refused = await acme.client.post(f"{KEYS}/{made['api_key']['id']}/rotate", json={})

    assert (refused.status_code, refused.json()["code"]) == (409, "key-ended")


async def test_a_key_does_nothing_with_its_makers_account(acme: Tenant) -> None:
    program = with_key(acme, await make_key(acme, READ, WRITE))
    personal = [
        ("GET", "/api/v1/users/me"),
        ("GET", "/api/v1/auth/sessions"),
        ("POST", "/api/v1/auth/sessions/end-others"),
        ("GET", "/api/v1/auth/mfa"),
        ("GET", KEYS),
        ("POST", KEYS),
    ]

    for method, path in personal:
        assert (await program.request(method, path)).status_code == 403, path


async def test_last_use_is_told_to_within_a_minute(acme: Tenant) -> None:
    made = await make_key(acme)
    program = with_key(acme, made)
    writes: list[str] = []
    engine = acme.database._system.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: writes.append(arguments[2]))

    await asyncio.gather(*(program.get(CONTACTS) for _ in range(5)))
    for _ in range(5):
        await program.get(CONTACTS)

    assert (await acme.client.get(KEYS)).json()["items"][0]["last_used_at"] is not None
    assert len([statement for statement in writes if statement.startswith("UPDATE core.api_keys")]) <= 5
    later = clock.now() + timedelta(minutes=2)
    with time_machine.travel(later, tick=True):
        await program.get(CONTACTS)
    assert (await acme.client.get(KEYS)).json()["items"][0]["last_used_at"] >= later.isoformat()[:19]


def test_a_mistyped_key_is_told_from_a_key_without_looking() -> None:
    key = new_key()

    assert is_well_formed(key)
    assert not is_well_formed(key[:-1])
    assert not is_well_formed(key[:20] + ("a" if key[20] != "a" else "b") + key[21:])
    assert not is_well_formed(PREFIX + "ä" * 46)


async def test_a_key_that_nobody_made_is_refused(anonymous: httpx.AsyncClient, acme: Tenant) -> None:
    made = await make_key(acme)

    for token in (new_key(), made["key"][:-1], made["key"] + "a", PREFIX, made["key"].lower()):
        answer = await anonymous.get(CONTACTS, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 401


async def test_nobody_touches_another_organizations_keys(acme: Tenant, globex: Tenant) -> None:
    theirs = (await make_key(acme))["api_key"]["id"]

    for key_id in (theirs, str(uuid4())):
        assert (await globex.client.delete(f"{KEYS}/{key_id}")).status_code == 404
        assert (await globex.client.post(f"{KEYS}/{key_id}/rotate", json={})).status_code == 404
