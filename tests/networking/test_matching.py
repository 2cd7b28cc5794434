"""Matching: who is recommended to whom, why, and who never is."""

import asyncio
import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from erasing import erase
from filling import fill
from importing import CONTACTS, add
from sqlalchemy import update

from core.app import Application
from core.identity.models import Membership
from core.permissions import Role
from core.testing.tenants import Tenant, make_member, make_tenant
from modules.networking.matching_queries import CONTACTS as CANDIDATES
from modules.networking.matching_queries import MOST_CANDIDATES
from modules.networking.visibility import EVERYTHING

NETWORKING = "/api/v1/networking"
PROFILE, RECOMMENDED = f"{NETWORKING}/matching/profile", f"{NETWORKING}/recommendations"
SETTINGS = "/api/v1/modules/networking/settings"
GOALS = {"goals": ["Investors"], "interests": ["Sailing", "Go"], "industry": "Energy", "company": "Acme Ltd"}


async def profile(person: Tenant, *, is_open: bool = True, **said: Any) -> dict[str, Any]:
    answer = await person.client.put(PROFILE, json={"is_open": is_open, **said})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def colleague(acme: Tenant, **said: Any) -> Tenant:
    person = await make_member(acme, Role.MEMBER)
    await profile(person, **said)
    return person


async def recommended(person: Tenant, url: str = RECOMMENDED, **params: Any) -> list[dict[str, Any]]:
    answer = await person.client.get(url, params=params or None)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def ids(person: Tenant, url: str = RECOMMENDED) -> list[str]:
    return [item["id"] for item in await recommended(person, url)]


async def change_settings(acme: Tenant, **values: Any) -> None:
    answer = await acme.client.put(SETTINGS, json={"settings": values})
    assert answer.status_code == 200, answer.text


async def test_a_recommendation_says_why_by_what_both_have_said(acme: Tenant) -> None:
    await profile(acme, **GOALS)
    offers = await colleague(acme, offers=["investors"], interests=["SAILING ", "chess"])
    shares = await colleague(acme, interests=["go"], industry="energy")
    await colleague(acme, interests=["knitting"])

    best, second = await recommended(acme)

    found = [(item["id"], item["score"]) for item in (best, second)]
    assert found == [(str(offers.user_id), 15), (str(shares.user_id), 9)]
    assert [tuple(reason.values())[:4] for reason in best["reasons"]] == [
        ("goals", "offers", ["Investors"], 12),
        ("interests", "interests", ["Sailing"], 3),
    ]
    assert await recommended(acme) == [best, second], "the same question has the same answer"
    assert await ids(acme, f"{RECOMMENDED}?limit=1") == [best["id"]]


async def test_only_who_opened_their_profile_is_recommended_and_gets_recommendations(acme: Tenant) -> None:
    await profile(acme, **GOALS)
    grace = await colleague(acme, **GOALS)
    closed = await colleague(acme, is_open=False, **GOALS)

    assert await ids(acme) == [str(grace.user_id)]
    assert await ids(closed) == []
    await profile(grace, is_open=False, **GOALS)
    assert await ids(acme) == []


EXCLUDED = {
    "pending": ("connections", None),
    "asked by them": ("their request", None),
    "connected": ("connections", "accept"),
    "declined not long ago": ("connections", "decline"),
    "blocked": ("block", None),
    "blocked by them": ("their block", None),
    "dismissed": ("feedback", None),
    "gone": ("leave", None),
    "of one company": ("company", None),
}


@pytest.mark.parametrize("kind", EXCLUDED)
async def test_whom_something_excludes_is_not_recommended(acme: Tenant, kind: str) -> None:
    await profile(acme, **GOALS)
    grace = await colleague(acme, **(GOALS | {"company": " ACME  ltd"}))
    other = await colleague(acme, interests=["go"], company="Globex")
    assert await ids(acme) == [str(grace.user_id), str(other.user_id)]

    match EXCLUDED[kind]:
        case ("connections", then):
            asked = (await acme.client.post(f"{NETWORKING}/connections", json={"user_id": str(grace.user_id)})).json()
            if then:
                await grace.client.post(f"{NETWORKING}/connections/{asked['id']}/{then}")
        case ("their request", _):
            await grace.client.post(f"{NETWORKING}/connections", json={"user_id": str(acme.user_id)})
        case ("block", _):
            await acme.client.put(f"{NETWORKING}/people/{grace.user_id}/block")
        case ("their block", _):
            await grace.client.put(f"{NETWORKING}/people/{acme.user_id}/block")
        case ("feedback", _):
            await acme.client.put(f"{RECOMMENDED}/{grace.user_id}/feedback", json={"verdict": "dismissed"})
        case ("leave", _):
            async with acme.database.system() as system:
                left = update(Membership).where(Membership.user_id == grace.user_id)
                await system.execute(left.values(is_active=False, version=Membership.version))
                await system.commit()
        case _:
            await change_settings(acme, match_other_companies_only=True)

    assert await ids(acme) == [str(other.user_id)]


async def test_what_was_useful_comes_first_and_a_verdict_can_change(acme: Tenant) -> None:
    await profile(acme, **GOALS)
    best = await colleague(acme, **GOALS)
    other = await colleague(acme, interests=["go"])
    url = f"{RECOMMENDED}/{other.user_id}/feedback"

    answers = await asyncio.gather(*(acme.client.put(url, json={"verdict": "useful"}) for _ in range(8)))

    assert {answer.status_code for answer in answers} == {204}
    assert [(item["id"], item["feedback"]) for item in await recommended(acme)] == [
        (str(other.user_id), "useful"),
        (str(best.user_id), None),
    ]
    assert await ids(best) == [str(acme.user_id), str(other.user_id)], "what one says is nothing to the others"
    await acme.client.put(url, json={"verdict": "dismissed"})
    assert await ids(acme) == [str(best.user_id)]


async def test_nobody_judges_themselves_or_a_stranger(acme: Tenant, globex: Tenant) -> None:
    said = {"verdict": "useful"}
    answers = [
        await acme.client.put(f"{RECOMMENDED}/{user_id}/feedback", json=said)
        for user_id in (acme.user_id, globex.user_id)
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "oneself"), (404, "not-found")]


async def test_a_profile_is_replaced_whole_by_who_has_read_it(acme: Tenant) -> None:
    empty = await acme.client.get(PROFILE)
    unchanged = {"If-Match": empty.headers["etag"]}
    said = {"is_open": True, "interests": ["Go", "go ", "Chess"]}
    first = await acme.client.put(PROFILE, json=said, headers=unchanged)
    stale = await acme.client.put(PROFILE, json={"is_open": False}, headers=unchanged)

    assert (empty.json()["is_open"], empty.json()["interests"]) == (False, [])
    assert first.json()["interests"] == ["Go", "Chess"], "what differs in case and spaces alone is one"
    assert stale.status_code == 412


def contact_url(contact: dict[str, Any]) -> str:
    return f"{CONTACTS}/{contact['id']}/recommendations"


async def test_contacts_are_recommended_by_what_they_have_in_common(acme: Tenant) -> None:
    ada = await add(acme, industry="Energy", business_type="Utility", job_title="CTO", company="Acme")
    both = await add(acme, first_name="Both", industry="energy ", job_title="cto", company="Globex")
    one = await add(acme, first_name="One", industry="ENERGY", company="ACME")
    await add(acme, first_name="None", industry="Finance")

    found = await recommended(acme, contact_url(ada))

    assert [(item["name"], item["score"]) for item in found] == [("Both", 9), ("One", 6)]
    assert [(reason["field"], reason["values"]) for reason in found[0]["reasons"]] == [
        ("industry", ["Energy"]),
        ("job_title", ["CTO"]),
    ]
    assert await ids(acme, contact_url(both)) == [ada["id"], one["id"]]
    await change_settings(acme, match_other_companies_only=True, match_weights={"industry": 0})
    assert [(item["name"], item["score"]) for item in await recommended(acme, contact_url(ada))] == [("Both", 3)]


@pytest.mark.parametrize("kind", ["deleted", "merged", "erased", "withdrawn", "maybe the same", "dismissed"])
async def test_a_contact_that_something_excludes_is_not_recommended(acme: Tenant, kind: str) -> None:
    ada, ben, other = [
        await add(acme, first_name=name, industry="Energy") for name in ("Ada Okafor", "Ada Okafor", "Zoe")
    ]
    assert set(await ids(acme, contact_url(ada))) == {ben["id"], other["id"]}

    match kind:
        case "deleted":
            await acme.client.delete(f"{CONTACTS}/{ben['id']}")
        case "merged":
            await acme.client.post(f"{CONTACTS}/{other['id']}/merges", json={"other_id": ben["id"]})
        case "erased":
            await erase(acme, UUID(ben["id"]))
        case "withdrawn":
            await acme.client.patch(f"{CONTACTS}/{ben['id']}", json={"marketing_consent": "withdrawn"})
            assert await ids(acme, contact_url(ben)) == []
        case "maybe the same":
            await acme.client.post(f"{NETWORKING}/duplicates/scan")
            await acme.run_jobs()
        case _:
            await acme.client.put(f"{contact_url(ada)}/{ben['id']}/feedback", json={"verdict": "dismissed"})

    assert await ids(acme, contact_url(ada)) == [other["id"]]


@pytest.fixture(scope="module")
async def large(application: Application) -> Tenant:
    """20,000 contacts of fifty industries, all of one network. No test changes them."""
    tenant = await make_tenant(application)
    await fill(
        tenant,
        "INSERT INTO networking.contacts (organization_id, id, first_name, contact_type, status, priority,"
        " industry, job_title, network_type, metadata, version, created_at, updated_at, is_deleted)"
        " SELECT $1, gen_random_uuid(), 'C' || n, 'target', 'new_client', 'medium', 'Energy ' || n % 50,"
        " CASE n % 5000 WHEN 0 THEN 'CTO' ELSE 'Job ' || n % 900 END, 'Club', '{}', 1, now(), now(), false"
        " FROM generate_series(1, 20000) AS n",
    )
    return tenant


async def test_the_best_of_20000_contacts_are_found(large: Tenant) -> None:
    """Those that share most come first, though all share something, and more than are looked at."""
    ada = await add(large, industry="energy 0", business_type="Utility", job_title="CTO", network_type="Club")

    found = await recommended(large, contact_url(ada), limit=5)

    assert sorted(item["name"] for item in found[:4]) == ["C10000", "C15000", "C20000", "C5000"]
    assert [item["score"] for item in found] == [11, 11, 11, 11, 8]
    assert len(await ids(large, f"{contact_url(ada)}?limit=50")) == 50 < MOST_CANDIDATES


async def test_of_20000_contacts_those_are_read_that_share_something(large: Tenant) -> None:
    shared = {"industry": "energy 1", "business_type": "utility", "job_title": "cto", "network_type": "none"}
    points = {f"{field}_points": 1 for field in shared}
    values = {"me": uuid4(), "company": None, "apart": True, "viewer": [EVERYTHING], **shared, **points}
    async with large.ctx().reads._pool.acquire(large.organization_id) as connection:
        arguments = CANDIDATES.arguments(large.organization_id, values)
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {CANDIDATES.sql}", *arguments)
    plan = "\n".join(row[0] for row in rows)

    assert [field for field in shared if f"Index Scan on ix_contacts_{field}_key" not in plan] == []
    assert "Seq Scan on contacts" not in plan
    assert int(re.findall(r"Bitmap Heap Scan on contacts \(actual rows=(\d+)", plan)[0]) in {404, 405}, plan
