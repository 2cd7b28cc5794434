"""Who sees a contact: what is not for one's eyes is in no answer of the module, whatever is asked."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from filling import fill
from msgspec import Struct

from core.app import Application
from core.permissions import Role
from core.testing.tenants import Tenant, make_member
from modules.networking.queries import CONTACTS as LIST
from tests.http.asking import filled, operations

BASE = "/api/v1/networking"
CONTACTS = f"{BASE}/contacts"
PARAMETERS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "list_contacts": ({"limit": 200}, {"q": "canary"}, {"is_deleted": True}, {"sort": "first_name"}),
    "export_contacts": ({}, {"q": "canary"}),
}
"""In how many ways a list is asked; others are asked plainly."""
SILENT = {
    "list_tags",
    "list_views",
    "get_view",
    "list_custom_fields",
    "get_custom_field",
    "list_imports",
    "list_connections",
    "list_blocks",
    "get_connection",
    "get_relation",
    "list_mutual_connections",
    "get_funnel",
    "list_stages",
    "get_matching_profile",
    "recommend_members",
    "get_score_rules",
    "list_score_rules",
    "get_score_run",
    "get_import",
    "list_import_errors",
    "download_import_errors",
}
"""Routes that tell of no contact, whoever asks."""


class Hidden(Struct, frozen=True, kw_only=True):
    """A contact that one person alone may see, in everything that can be known of a contact."""

    owner: Tenant
    contact_id: str
    ids: Mapping[str, str]
    """What stands in paths."""
    canaries: frozenset[str]
    """Words and ids that are in answers about the contact and in no others."""

    def seen_in(self, answer: httpx.Response) -> set[str]:
        told = f"{answer.text} {answer.headers}"
        asked = {canary for canary in self.canaries if canary in str(answer.request.url)}
        return {canary for canary in self.canaries - asked if canary in told}


async def add(tenant: Tenant, **values: Any) -> dict[str, Any]:
    answer = await tenant.client.post(CONTACTS, json={"first_name": "Ada", **values})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def hide(owner: Tenant) -> Hidden:
    """Made over HTTP: a private contact with an interaction, a look-alike, a merge, an import and a score."""
    word = f"canary{uuid4().hex[:12]}"
    named = {
        "first_name": word,
        "last_name": "Okafor",
        "company": f"{word} Ltd",
        "industry": word,
        "visibility": "owner",
    }
    contact = await add(owner, **named, email=f"{word}@example.com", notes=word)
    twin, merged = await add(owner, **named), await add(owner, **named)
    trashed = await add(owner, **named)
    peer = await add(owner, first_name="Peer", last_name=word, industry=word, visibility="owner")
    url = f"{CONTACTS}/{contact['id']}"
    call = {"interaction_type": "call", "interaction_date": "2026-03-02T10:00:00Z", "subject": word}
    interaction = (await owner.client.post(f"{url}/interactions", json=call)).json()
    merge = (await owner.client.post(f"{url}/merges", json={"other_id": merged["id"]})).json()
    (await owner.client.delete(f"{CONTACTS}/{trashed['id']}")).raise_for_status()
    (await owner.client.post(f"{BASE}/duplicates/scan")).raise_for_status()
    csv = f"first_name,email\nAda,{word}@example.com\n".encode()
    job = (await owner.client.post(f"{BASE}/imports", files={"file": ("contacts.csv", csv)})).json()
    team = await team_of(owner)
    (await owner.client.put(f"{url}/shares/teams/{team}", json={})).raise_for_status()
    await owner.run_jobs()
    ids = {"contact_id": contact["id"], "interaction_id": interaction["id"], "import_id": job["id"]}
    canaries = {
        word,
        contact["id"],
        twin["id"],
        merged["id"],
        trashed["id"],
        peer["id"],
        interaction["id"],
        merge["id"],
        team,
    }
    return Hidden(owner=owner, contact_id=contact["id"], ids=ids, canaries=frozenset(canaries))


async def ask(application: Application, tenant: Tenant, hidden: Hidden) -> dict[str, list[httpx.Response]]:
    """Every GET route of the module, about the hidden contact."""
    found = [o for o in operations(application) if o.method == "GET" and o.template.startswith(f"{BASE}/")]
    return {
        operation.id: [
            await tenant.client.get(filled(operation.template, hidden.ids), params=dict(params))
            for params in PARAMETERS.get(operation.id, ({},))
        ]
        for operation in found
    }


async def test_what_is_not_for_ones_eyes_is_in_no_answer(application: Application, acme: Tenant) -> None:
    owner, colleague = await make_member(acme, Role.MANAGER), await make_member(acme, Role.MANAGER)
    admin = await make_member(acme, Role.ADMIN)
    hidden = await hide(owner)
    await acme.run_jobs()

    for operation_id, answers in (await ask(application, colleague, hidden)).items():
        assert [hidden.seen_in(answer) for answer in answers] == [set()] * len(answers), operation_id
        assert all(answer.status_code in {200, 404} for answer in answers), operation_id
    for who in (owner, admin, acme):
        shown = await ask(application, who, hidden)
        silent = {name for name, answers in shown.items() if not all(map(hidden.seen_in, answers))}
        assert silent - SILENT == set(), "else the silence above proves nothing"


async def test_nothing_can_be_done_to_what_one_does_not_see(application: Application, acme: Tenant) -> None:
    """Every writing route with the contact in its path, and those that name it in a body."""
    hidden = await hide(await make_member(acme, Role.MANAGER))
    colleague = await make_member(acme, Role.MANAGER)
    own = await add(colleague, first_name="Grace")
    ids = {**hidden.ids, "other_id": own["id"], "user_id": str(colleague.user_id)}
    bodies = {
        "update_contact": {"company": "Mine"},
        "move_contact": {"contact_type": "contact"},
        "log_interaction": {"interaction_type": "call", "interaction_date": "2026-03-02T10:00:00Z"},
        "update_interaction": {"subject": "Mine"},
        "complete_interaction": {},
        "change_contact_owner": {"user_id": str(colleague.user_id)},
        "share_contact_with_member": {},
        "share_contact_with_team": {},
        "judge_contact_recommendation": {"verdict": "useful"},
        "merge_contacts": {"other_id": own["id"]},
        "preview_merge": {"other_id": own["id"]},
    }
    writing = [
        operation
        for operation in operations(application)
        if operation.method != "GET"
        and operation.template.startswith(f"{BASE}/")
        and ("{contact_id}" in operation.template or "{interaction_id}" in operation.template)
    ]
    assert bodies.keys() <= {operation.id for operation in writing}

    for operation in writing:
        body = {"json": bodies[operation.id]} if operation.id in bodies else {}
        answer = await colleague.client.request(operation.method, filled(operation.template, ids), **body)
        assert answer.status_code == 404, (operation.id, answer.text)
    for path in ("merges", "merges/preview"):
        url, body = f"{CONTACTS}/{own['id']}/{path}", {"other_id": hidden.contact_id}
        assert (await colleague.client.post(url, json=body)).status_code == 404


async def test_it_is_recommended_to_nobody_who_does_not_see_it(acme: Tenant) -> None:
    owner, colleague = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MEMBER)
    hidden = await add(owner, first_name="Grace", industry="Law", visibility="owner")
    contact = await add(colleague, industry="Law")
    url = f"{CONTACTS}/{contact['id']}/recommendations"

    told = {who.role: (await who.client.get(url)).json()["items"] for who in (colleague, acme)}

    assert told["member"] == []
    assert [item["id"] for item in told["owner"]] == [hidden["id"]]


async def test_it_is_nobodys_duplicate_to_who_does_not_see_it(acme: Tenant) -> None:
    """Neither refused nor told: a refusal would say that somebody has the address."""
    owner, colleague = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MEMBER)
    hidden = await add(owner, email="ada@example.com", visibility="owner")
    content = b"first_name,email\nAda,ada@example.com\n"

    imported = await colleague.client.post(f"{BASE}/imports", files={"file": ("a.csv", content)})
    await acme.run_jobs()
    rows = (await colleague.client.get(f"{BASE}/imports/{imported.json()['id']}/rows")).json()["items"]
    refused = await owner.client.post(CONTACTS, json={"first_name": "Ada", "email": "ada@example.com"})
    again = await colleague.client.post(CONTACTS, json={"first_name": "Ada", "email": "ada@example.com"})

    assert [row["outcome"] for row in rows] == ["created"]
    assert refused.json()["conflicts_with"][0] == hidden["id"]
    assert again.json()["conflicts_with"] == [rows[0]["contact_id"]]


async def team_of(tenant: Tenant, *members: Tenant) -> str:
    team = (await tenant.client.post("/api/v1/teams", json={"name": uuid4().hex})).json()["id"]
    for member in members:
        (await tenant.client.put(f"/api/v1/teams/{team}/members/{member.user_id}")).raise_for_status()
    return team


@pytest.mark.parametrize("by_team", [False, True], ids=["member", "team"])
async def test_sharing_shows_and_lets_change_as_far_as_it_says(acme: Tenant, by_team: bool) -> None:
    owner, colleague = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MEMBER)
    contact = await add(owner, visibility="shared")
    url = f"{CONTACTS}/{contact['id']}"
    team = await team_of(acme, colleague)
    share = f"{url}/shares/teams/{team}" if by_team else f"{url}/shares/members/{colleague.user_id}"
    call = {"interaction_type": "call", "interaction_date": "2026-03-02T10:00:00Z"}

    async def may() -> tuple[int, int, int]:
        """See it, change it, log with it."""
        seen = await colleague.client.get(url)
        changed = await colleague.client.patch(url, json={"company": uuid4().hex})
        logged = await colleague.client.post(f"{url}/interactions", json=call)
        listed = [item["id"] for item in (await colleague.client.get(CONTACTS)).json()["items"]]
        assert (contact["id"] in listed) == (seen.status_code == 200)
        return seen.status_code, changed.status_code, logged.status_code

    assert await may() == (404, 404, 404)
    assert (await owner.client.put(share, json={})).status_code == 204
    assert await may() == (200, 403, 403)
    assert (await owner.client.put(share, json={"can_edit": True})).status_code == 204
    assert await may() == (200, 200, 201)
    await owner.client.patch(url, json={"visibility": "owner"})
    assert await may() == (404, 404, 404), "a share counts while the contact is shared"
    await owner.client.patch(url, json={"visibility": "shared"})
    if by_team:
        await acme.client.delete(f"/api/v1/teams/{team}/members/{colleague.user_id}")
        assert await may() == (404, 404, 404), "leaving the team ends it"
        await acme.client.put(f"/api/v1/teams/{team}/members/{colleague.user_id}")
    assert await may() == (200, 200, 201)
    assert (await owner.client.delete(share)).status_code == 204
    assert await may() == (404, 404, 404)
    assert (await owner.client.delete(share)).status_code == 404


async def test_an_import_does_not_change_what_is_shared_for_reading(acme: Tenant) -> None:
    owner, colleague = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MEMBER)
    contact = await add(owner, email="ada@example.com", visibility="shared")
    url = f"{CONTACTS}/{contact['id']}"
    await owner.client.put(f"{url}/shares/members/{colleague.user_id}", json={})
    content = b"first_name,email,company\nAda,ada@example.com,Mine\n"

    job = await colleague.client.post(f"{BASE}/imports", files={"file": ("a.csv", content)}, data={"mode": "upsert"})
    await acme.run_jobs()

    rows = (await colleague.client.get(f"{BASE}/imports/{job.json()['id']}/rows")).json()["items"]
    assert [(row["outcome"], row["code"]) for row in rows] == [("failed", "read-only")]
    assert (await owner.client.get(url)).json()["company"] is None


async def test_only_the_owner_says_who_sees_it_and_hands_it_over(acme: Tenant) -> None:
    owner, colleague = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MEMBER)
    contact = await add(owner)
    url = f"{CONTACTS}/{contact['id']}"
    assert (contact["visibility"], contact["owner_id"]) == ("organization", str(owner.user_id))
    asked = [
        ("PATCH", url, {"visibility": "owner"}),
        ("PUT", f"{url}/owner", {"user_id": str(colleague.user_id)}),
        ("PUT", f"{url}/shares/members/{colleague.user_id}", {"can_edit": True}),
    ]

    refused = [await colleague.client.request(method, where, json=body) for method, where, body in asked]
    handed = await owner.client.put(f"{url}/owner", json={"user_id": str(colleague.user_id)})
    stale = await colleague.client.put(
        f"{url}/owner", json={"user_id": str(owner.user_id)}, headers={"if-match": '"1"'}
    )
    hidden = await colleague.client.patch(url, json={"visibility": "owner"})

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(403, "owner-needed")] * 3
    assert (handed.status_code, handed.json()["owner_id"]) == (200, str(colleague.user_id))
    assert stale.status_code == 412
    assert hidden.status_code == 200
    assert (await owner.client.get(url)).status_code == 404
    back = await acme.client.put(f"{url}/owner", json={"user_id": str(owner.user_id)})
    assert (back.status_code, (await owner.client.get(url)).status_code) == (200, 200)


async def test_nobody_outside_is_an_owner_or_shared_with(acme: Tenant, globex: Tenant) -> None:
    contact = await add(acme)
    url, strangers = f"{CONTACTS}/{contact['id']}", [globex.user_id, uuid4()]

    for stranger in strangers:
        owner = await acme.client.put(f"{url}/owner", json={"user_id": str(stranger)})
        member = await acme.client.put(f"{url}/shares/members/{stranger}", json={})
        team = await acme.client.put(f"{url}/shares/teams/{stranger}", json={})
        assert [answer.status_code for answer in (owner, member, team)] == [404, 404, 404]
    assert (await acme.client.get(f"{url}/shares")).json() == {"items": []}


async def test_a_private_contact_is_merged_into_a_public_one_by_its_owner_alone(acme: Tenant) -> None:
    owner, colleague = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MEMBER)
    private, public = await add(owner, visibility="shared"), await add(owner)
    share = f"{CONTACTS}/{private['id']}/shares/members/{colleague.user_id}"
    (await owner.client.put(share, json={"can_edit": True})).raise_for_status()
    url, body = f"{CONTACTS}/{public['id']}/merges", {"other_id": private["id"]}

    refused = await colleague.client.post(url, json=body)
    merged = await owner.client.post(url, json=body)

    assert (refused.status_code, refused.json()["code"]) == (403, "owner-needed")
    assert merged.status_code == 201


async def test_an_api_key_sees_all_only_where_that_is_in_its_scope(acme: Tenant) -> None:
    owner = await make_member(acme, Role.MEMBER)
    contact = await add(owner, visibility="owner")
    statuses: list[int] = []

    for scopes in (["networking:read"], ["networking:read", "networking:contacts:see-all"]):
        key = (await acme.client.post("/api/v1/api-keys", json={"name": "CRM", "scopes": scopes})).json()["key"]
        answer = await acme.client.get(f"{CONTACTS}/{contact['id']}", headers={"authorization": f"Bearer {key}"})
        statuses.append(answer.status_code)

    assert statuses == [404, 200]


async def test_everybodys_contacts_are_listed_by_the_index_and_no_second_query(acme: Tenant) -> None:
    """The shares are looked at for contacts that are shared, and for no others."""
    colleague = await make_member(acme, Role.MEMBER)
    await fill(
        acme,
        "INSERT INTO networking.contacts (organization_id, id, first_name, contact_type, status, priority, created_at) "
        "SELECT $1, gen_random_uuid(), 'N' || n, 'target', 'new_client', 'low', now() - n * interval '1s' "
        "FROM generate_series(1, 5000) AS n",
    )
    plan = await plan_of_list(acme, [colleague.user_id])

    assert "ix_contacts_created" in plan
    assert "Seq Scan on contacts" not in plan
    assert "never executed" in plan.partition("contact_shares")[2].partition("\n")[0]


async def plan_of_list(tenant: Tenant, viewer: list[UUID]) -> str:
    """The list's own statement, explained as the application runs it."""
    read = LIST._compile("-created_at", (), "start")
    async with tenant.ctx().reads._pool.acquire(tenant.organization_id) as connection:
        arguments = read.arguments(tenant.organization_id, {"fetch": 51, "viewer": viewer})
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) {read.sql}", *arguments)
    return "\n".join(row[0] for row in rows)
