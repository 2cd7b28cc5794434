"""Tags: one by each name, on many contacts at once, renamed and merged without losing who has them."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from core.permissions import Role
from core.testing.tenants import Tenant, make_member

BASE = "/api/v1/networking"
CONTACTS, TAGS = f"{BASE}/contacts", f"{BASE}/tags"


async def add(tenant: Tenant, **values: Any) -> str:
    answer = await tenant.client.post(CONTACTS, json={"first_name": "Ada", **values})
    assert answer.status_code == 201, answer.text
    assert answer.json()["tags"] == []
    return answer.json()["id"]


async def make(tenant: Tenant, name: str, **values: Any) -> str:
    answer = await tenant.client.post(TAGS, json={"name": name, **values})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def put(tenant: Tenant, contacts: list[str], **tags: list[str]) -> list[tuple[str, str]]:
    answer = await tenant.client.post(f"{CONTACTS}/tags", json={"contact_ids": contacts, **tags})
    assert answer.status_code == 200, answer.text
    return [(item["contact_id"], item["outcome"]) for item in answer.json()["items"]]


async def tags_of(tenant: Tenant, contact: str) -> list[str]:
    """The same in the list as by itself."""
    alone = (await tenant.client.get(f"{CONTACTS}/{contact}")).json()["tags"]
    listed = (await tenant.client.get(CONTACTS, params={"limit": 200})).json()["items"]
    assert [item["tags"] for item in listed if item["id"] == contact] == [alone]
    return alone


async def having(tenant: Tenant, tag: str) -> set[str]:
    listed = await tenant.client.get(CONTACTS, params={"tag": tag})
    exported = await tenant.client.get(f"{CONTACTS}/export.csv", params={"tag": tag})
    ids = {item["id"] for item in listed.json()["items"]}
    assert {line.split(",")[0] for line in exported.text.splitlines()[1:]} == ids
    return ids


@pytest.mark.parametrize("same", ["vip guest", " VIP   Guest ", "\uff36\uff29\uff30 guest", "vip GUEST"])
async def test_a_name_is_one_tag_however_it_is_written(acme: Tenant, same: str) -> None:
    tag = await make(acme, "VIP Guest", colour="#0a7d4f")
    other = await make(acme, "Other")

    refused = await acme.client.post(TAGS, json={"name": same})
    renamed = await acme.client.patch(f"{TAGS}/{other}", json={"name": same})
    itself = await acme.client.patch(f"{TAGS}/{tag}", json={"name": same})

    assert [answer.status_code for answer in (refused, renamed, itself)] == [409, 409, 200]
    assert refused.json()["conflicts_with"] == renamed.json()["conflicts_with"] == [tag]


async def test_of_many_who_make_a_tag_at_once_one_does(acme: Tenant) -> None:
    answers = await asyncio.gather(*(acme.client.post(TAGS, json={"name": "Fair"}) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert [tag["name"] for tag in (await acme.client.get(TAGS)).json()["items"]] == ["Fair"]


async def test_a_name_that_nobody_can_see_is_none(acme: Tenant) -> None:
    answer = await acme.client.post(TAGS, json={"name": " \u2003 "})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")


async def test_tagging_tells_what_became_of_each_contact(acme: Tenant) -> None:
    owner, colleague = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MEMBER)
    plain, has = await add(owner), await add(owner)
    shared, hidden = await add(owner, visibility="shared"), await add(owner, visibility="owner")
    await owner.client.put(f"{CONTACTS}/{shared}/shares/members/{colleague.user_id}", json={})
    gone, nobody = await add(owner), str(uuid4())
    await owner.client.delete(f"{CONTACTS}/{gone}")
    fair, vip = await make(owner, "fair"), await make(owner, "VIP")
    await put(owner, [has], add=[fair])

    outcomes = await put(colleague, [plain, has, shared, hidden, gone, nobody, plain], add=[fair])

    assert outcomes == [
        (plain, "changed"),
        (has, "unchanged"),
        (shared, "forbidden"),
        (hidden, "not-found"),
        (gone, "not-found"),
        (nobody, "not-found"),
    ]
    assert await having(acme, "Fair") == {plain, has}
    assert await put(colleague, [plain, has], add=[vip, fair], remove=[fair]) == [(plain, "changed"), (has, "changed")]
    assert await tags_of(acme, plain) == await tags_of(acme, has) == ["VIP"]
    assert await put(colleague, [plain], remove=[fair]) == [(plain, "unchanged")]
    unknown = await colleague.client.post(f"{CONTACTS}/tags", json={"contact_ids": [plain], "add": [str(uuid4())]})
    assert unknown.status_code == 404


async def test_a_new_name_and_a_merge_keep_who_has_the_tag(acme: Tenant) -> None:
    one, both, other = [await add(acme) for _ in range(3)]
    kept, gone = await make(acme, "Press"), await make(acme, "Media")
    await put(acme, [one, both], add=[kept])
    await put(acme, [both, other], add=[gone])

    renamed = await acme.client.patch(f"{TAGS}/{kept}", json={"name": "Journalists"}, headers={"if-match": '"1"'})
    stale = await acme.client.patch(f"{TAGS}/{kept}", json={"name": "Writers"}, headers={"if-match": '"1"'})
    merged = await acme.client.post(f"{TAGS}/{kept}/merges", json={"other_id": gone})
    itself = await acme.client.post(f"{TAGS}/{kept}/merges", json={"other_id": kept})

    assert [answer.status_code for answer in (renamed, stale, merged, itself)] == [200, 412, 200, 422]
    assert await having(acme, "journalists") == {one, both, other}
    assert await having(acme, "Media") == await having(acme, "Press") == set()
    assert (await acme.client.delete(f"{TAGS}/{gone}")).status_code == 404
    assert (await acme.client.delete(f"{TAGS}/{kept}")).status_code == 204
    assert await tags_of(acme, both) == []


async def test_tags_go_along_with_a_merged_contact_and_come_back_with_it(acme: Tenant) -> None:
    survivor, merged = await add(acme), await add(acme)
    fair, vip = await make(acme, "fair"), await make(acme, "VIP")
    await put(acme, [survivor, merged], add=[fair])
    await put(acme, [merged], add=[vip])

    done = await acme.client.post(f"{CONTACTS}/{survivor}/merges", json={"other_id": merged})
    together = await tags_of(acme, survivor)
    (await acme.client.post(f"{BASE}/merges/{done.json()['id']}/undo")).raise_for_status()

    assert together == ["fair", "VIP"]
    assert await tags_of(acme, survivor) == ["fair"]
    assert await tags_of(acme, merged) == ["fair", "VIP"]


async def test_members_tag_and_managers_keep_the_tags(acme: Tenant) -> None:
    member, manager = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MANAGER)
    tag = await make(member, "fair")

    assert (await member.client.patch(f"{TAGS}/{tag}", json={"name": "trade fair"})).status_code == 403
    assert (await manager.client.patch(f"{TAGS}/{tag}", json={"name": "trade fair"})).status_code == 200


async def test_tags_are_given_by_name_with_the_contact_and_made_where_they_are_new(acme: Tenant) -> None:
    press = await make(acme, "Press")
    made = await acme.client.post(CONTACTS, json={"first_name": "Ada", "tags": ["press", " Key   account ", "PRESS"]})
    contact, url = made.json(), f"{CONTACTS}/{made.json()['id']}"

    same = await acme.client.patch(url, json={"tags": ["KEY ACCOUNT", "Press"]})
    changed = await acme.client.patch(url, json={"tags": ["Fair", "Press"]}, headers={"if-match": '"1"'})
    stale = await acme.client.patch(url, json={"tags": []}, headers={"if-match": '"1"'})
    moved = await acme.client.post(
        f"{url}/stage", json={"contact_type": "contact", "email": "ada@example.com", "tags": ["Won"]}
    )
    emptied = await acme.client.patch(url, json={"tags": []})

    assert contact["tags"] == ["Key account", "Press"]
    assert (same.json()["version"], changed.json()["version"], stale.status_code) == (1, 2, 412)
    assert [answer.json()["tags"] for answer in (changed, moved, emptied)] == [["Fair", "Press"], ["Won"], []]
    listed = (await acme.client.get(TAGS)).json()["items"]
    assert [tag["name"] for tag in listed] == ["Fair", "Key account", "Press", "Won"]
    assert press in [tag["id"] for tag in listed]


async def test_a_refused_contact_makes_no_tag_and_names_what_is_wrong_with_its_tags(acme: Tenant) -> None:
    await acme.client.post(CONTACTS, json={"first_name": "Ada", "email": "ada@example.com"})

    twice = await acme.client.post(CONTACTS, json={"first_name": "Ada", "email": "ada@example.com", "tags": ["New"]})
    blank = await acme.client.post(CONTACTS, json={"first_name": "Ada", "tags": ["New", " \u2003 "]})
    long = await acme.client.post(CONTACTS, json={"first_name": "Ada", "tags": ["x" * 51]})

    assert [answer.status_code for answer in (twice, blank, long)] == [409, 422, 422]
    assert [answer.json()["errors"][0]["field"] for answer in (blank, long)] == ["tags.1", "tags.0"]
    assert (await acme.client.get(TAGS)).json()["items"] == []


async def test_many_who_name_new_tags_at_once_make_each_once(acme: Tenant) -> None:
    names = ["a", "b", "c", "d"]
    answers = await asyncio.gather(
        *(
            acme.client.post(CONTACTS, json={"first_name": f"P{turn}", "tags": names[turn % 4 :] + names[: turn % 4]})
            for turn in range(12)
        )
    )

    assert {answer.status_code for answer in answers} == {201}
    assert [answer.json()["tags"] for answer in answers] == [names] * 12
    assert [tag["name"] for tag in (await acme.client.get(TAGS)).json()["items"]] == names
