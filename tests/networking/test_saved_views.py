"""Saved views: what they ask of the list and the export, whose they are, and how they say that something is gone."""

import csv
import io
from typing import Any

import pytest
from erasing import erase
from importing import CONTACTS, add
from sqlalchemy import text

from core.permissions import Role
from core.privacy.rights import export_subject
from core.testing.tenants import Tenant, make_member

BASE = "/api/v1/networking"
VIEWS, TAGS, FIELDS = f"{BASE}/views", f"{BASE}/tags", f"{BASE}/custom-fields"


async def make(tenant: Tenant, url: str, **values: Any) -> dict[str, Any]:
    answer = await tenant.client.post(url, json=values)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def save(tenant: Tenant, **values: Any) -> dict[str, Any]:
    return await make(tenant, VIEWS, **({"name": "Mine"} | values))


async def listed(tenant: Tenant, view: dict[str, Any], **params: Any) -> list[str]:
    answer = await tenant.client.get(CONTACTS, params={"view": view["id"], **params})
    assert answer.status_code == 200, answer.text
    return [item["first_name"] for item in answer.json()["items"]]


async def exported(tenant: Tenant, view: dict[str, Any], **params: Any) -> list[list[str]]:
    answer = await tenant.client.get(f"{CONTACTS}/export.csv", params={"view": view["id"], **params})
    assert answer.status_code == 200, answer.text
    return list(csv.reader(io.StringIO(answer.text)))


async def tagged_contacts(tenant: Tenant) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ada and Ben, of whom Ada has the tag and the tier. Returns the tag and the field."""
    field = await make(tenant, FIELDS, key="tier", label="Tier", kind="select", options=["Gold", "Silver"])
    tag = await make(tenant, TAGS, name="VIP")
    ada = await add(tenant, company="Engines", status="hot_lead", industry="Law", custom={"tier": "Gold"})
    await add(tenant, first_name="Ben", company="Boats", status="hot_lead", custom={"tier": "Silver"})
    (
        await tenant.client.post(f"{CONTACTS}/tags", json={"contact_ids": [ada["id"]], "add": [tag["id"]]})
    ).raise_for_status()
    return tag, field


async def test_a_view_asks_what_it_says_and_what_is_given_stands_above_it(acme: Tenant) -> None:
    """Every filter by itself finds Ada alone, as the list's own parameter does."""
    await tagged_contacts(acme)
    own = str(acme.user_id)
    filters: dict[str, Any] = {"industry": "Law", "tag": "vip", "custom": "tier:gold", "q": "ada"}
    both = {"status": "hot_lead", "owner_id": own, "contact_type": "target", "priority": "medium"}

    for name, value in filters.items():
        view = await save(acme, filters={name: value})
        assert await listed(acme, view) == ["Ada"], name
        rows = await exported(acme, view)
        assert [row[rows[0].index("first_name")] for row in rows[1:]] == ["Ada"], name
    for name, value in both.items():
        view = await save(acme, filters={name: value}, sort="company", columns=["company", "custom.tier", "first_name"])
        assert await listed(acme, view) == ["Ben", "Ada"], name
    assert await listed(acme, view, sort="-company") == ["Ada", "Ben"]
    assert await listed(acme, view, industry="Law") == ["Ada"]
    assert await exported(acme, view) == [
        ["company", "custom.tier", "first_name"],
        ["Boats", "Silver", "Ben"],
        ["Engines", "Gold", "Ada"],
    ]
    one = await save(acme, filters={"custom": "tier:Gold"})
    assert await listed(acme, one, custom="tier:Silver") == ["Ben"]
    best = await save(acme, filters={"q": "en"}, sort="-relevance")
    assert len(await exported(acme, best)) == len(await listed(acme, best)) + 1


async def test_pages_of_a_view_go_on_and_end_where_it_was_changed(acme: Tenant) -> None:
    for name in ("Ada", "Ben", "Cai"):
        await add(acme, first_name=name, industry="Law")
    view = await save(acme, filters={"industry": "Law"}, sort="first_name")
    params = {"view": view["id"], "limit": 2}
    cursor = (await acme.client.get(CONTACTS, params=params)).json()["next_cursor"]

    assert await listed(acme, view, limit=2, cursor=cursor) == ["Cai"]
    await acme.client.patch(f"{VIEWS}/{view['id']}", json={"filters": {}})
    answer = await acme.client.get(CONTACTS, params=params | {"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-cursor")


async def test_a_view_follows_its_tag_through_a_new_name_and_a_merge(acme: Tenant) -> None:
    tag, _ = await tagged_contacts(acme)
    view = await save(acme, filters={"tag": " vip", "status": "hot_lead"})
    other = await make(acme, TAGS, name="Press")

    await acme.client.patch(f"{TAGS}/{tag['id']}", json={"name": "Key account"})
    renamed = await listed(acme, view)
    await acme.client.post(f"{TAGS}/{other['id']}/merges", json={"other_id": tag["id"]})

    assert (renamed, await listed(acme, view)) == (["Ada"], ["Ada"])
    filters = (await acme.client.get(f"{VIEWS}/{view['id']}")).json()["filters"]
    assert filters == {"tag": "Press", "status": "hot_lead"}


async def test_a_view_that_names_what_is_gone_says_so_and_can_be_mended(acme: Tenant) -> None:
    tag, _ = await tagged_contacts(acme)
    note = await make(acme, FIELDS, key="note", label="Note", kind="text")
    view = await save(
        acme, filters={"tag": "VIP", "custom": "note:x"}, sort="company", columns=["first_name", "custom.note"]
    )
    url = f"{VIEWS}/{view['id']}"
    for gone in (f"{TAGS}/{tag['id']}", f"{FIELDS}/{note['id']}"):
        assert (await acme.client.delete(gone)).status_code == 204
    async with acme.database.system() as system:
        older = "UPDATE networking.saved_views SET sort = 'shoe_size', filters = filters || :more WHERE id = :id"
        values = {"id": view["id"], "more": '{"status": "lost", "shoe": 44}'}
        await system.execute(text(older.replace(":more", "CAST(:more AS jsonb)")), values)

    for path in (CONTACTS, f"{CONTACTS}/export.csv"):
        problem = (await acme.client.get(path, params={"view": view["id"]})).json()
        assert (problem["status"], problem["code"]) == (409, "view-outdated")
        assert {"filters.status", "filters.shoe", "sort", "columns.1"} == {e["field"] for e in problem["errors"]}
    shown = await acme.client.get(url)
    assert (shown.status_code, shown.json()["filters"]["shoe"]) == (200, 44)
    assert (await acme.client.patch(url, json={"name": "Still there"})).status_code == 200
    await acme.client.patch(url, json={"sort": None, "filters": {"status": "hot_lead"}})
    half = (await acme.client.get(CONTACTS, params={"view": view["id"]})).json()
    assert [error["field"] for error in half["errors"]] == ["columns.1"]
    await acme.client.patch(url, json={"columns": ["first_name"]})
    assert sorted(await listed(acme, view)) == ["Ada", "Ben"]


async def test_a_filter_that_is_gone_is_named_unless_another_is_given(acme: Tenant) -> None:
    tag, field = await tagged_contacts(acme)
    view = await save(acme, filters={"tag": "VIP", "custom": "tier:Gold"})
    await acme.client.delete(f"{TAGS}/{tag['id']}")
    await acme.client.patch(f"{FIELDS}/{field['id']}", json={"archived": True})

    problem = (await acme.client.get(CONTACTS, params={"view": view["id"]})).json()
    other = await make(acme, TAGS, name="Other")

    assert [error["field"] for error in problem["errors"]] == ["filters.tag"], "an archived field still has values"
    assert await listed(acme, view, tag=other["name"]) == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"filters": {"tag": "nobody"}}, "filters.tag"),
    ({"filters": {"custom": "nothing:1"}}, "filters.custom"),
    ({"filters": {"custom": "tier:Bronze"}}, "filters.custom"),
    ({"filters": {"status": "lost"}}, "filters.status"),
    ({"filters": {"shoe": 44}}, "filters.shoe"),
    ({"sort": "shoe_size"}, "sort"),
    ({"sort": "-relevance"}, "sort"),
    ({"columns": ["first_name", "custom.nothing"]}, "columns.1"),
    ({"columns": ["organization_id"]}, "columns.0"),
    ({"columns": []}, "columns"),
]


@pytest.mark.parametrize(("wrong", "named"), WRONG)
async def test_what_the_list_does_not_have_can_not_be_saved(acme: Tenant, wrong: dict[str, Any], named: str) -> None:
    await make(acme, FIELDS, key="tier", label="Tier", kind="select", options=["Gold"])
    view = await save(acme)

    answers = [
        await acme.client.post(VIEWS, json={"name": "Mine"} | wrong),
        await acme.client.patch(f"{VIEWS}/{view['id']}", json=wrong),
    ]

    for answer in answers:
        assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (422, [named]), answer.text


async def test_a_view_is_its_owners_until_it_is_shared(acme: Tenant, globex: Tenant) -> None:
    owner, colleague = await make_member(acme, Role.MEMBER), await make_member(acme, Role.MEMBER)
    manager, viewer = await make_member(acme, Role.MANAGER), await make_member(acme, Role.VIEWER)
    view = await save(owner)
    url = f"{VIEWS}/{view['id']}"

    for other in (colleague, manager, acme, globex):
        asked = [await other.client.get(url), await other.client.get(CONTACTS, params={"view": view["id"]})]
        asked += [await other.client.patch(url, json={"name": "X"}), await other.client.delete(url)]
        assert [answer.status_code for answer in asked] == [404] * 4
        assert (await other.client.get(VIEWS)).json()["items"] == []
    assert (await owner.client.patch(url, json={"is_shared": True})).status_code == 200
    for other in (colleague, viewer):
        assert (await listed(other, view), (await other.client.get(VIEWS)).json()["items"][0]["id"]) == ([], view["id"])
        answers = [await other.client.patch(url, json={"name": "X"}), await other.client.delete(url)]
        assert [answer.status_code for answer in answers] == [403, 403]
    assert (await globex.client.get(url)).status_code == 404
    assert (await viewer.client.post(VIEWS, json={"name": "Mine"})).status_code == 403
    stale = await manager.client.patch(url, json={"name": "X"}, headers={"if-match": '"1"'})
    assert (stale.status_code, (await manager.client.delete(url)).status_code) == (412, 204)


async def test_what_an_erased_member_saved_for_themselves_is_gone_and_what_they_shared_stays(acme: Tenant) -> None:
    grace = await make_member(acme, Role.MEMBER)
    private, shared = await save(grace), await save(grace, is_shared=True)
    ctx = acme.ctx()
    told = [found async for found in export_subject(ctx, acme.application.runtime.plugs, grace.user_id)]
    await ctx.close()

    await erase(acme, grace.user_id)

    held = {str(found.row["id"]) for found in told if found.table == "networking.saved_views"}
    assert held == {private["id"], shared["id"]}
    assert (await acme.client.get(f"{VIEWS}/{shared['id']}")).json()["owner_id"] is None
    async with acme.database.system() as system:
        left = "SELECT count(*) FROM networking.saved_views WHERE organization_id = :id"
        assert await system.scalar(text(left), {"id": acme.organization_id}) == 1
