"""Lead scores: the same facts give the same score, its lines add up to it, and it follows what happens."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select

from core import clock
from core.ids import new_id
from core.testing.tenants import Tenant
from modules.networking.models import Contact, ContactInteraction
from modules.networking.score_models import ScoreRun
from modules.networking.score_schemas import FieldRule, InteractionRule, RecencyRule, ScoreRulesIn
from modules.networking.scoring import Happened, score_of
from modules.networking.services import scores
from modules.networking.values import InteractionType

CONTACTS = "/api/v1/networking/contacts"
RULES = "/api/v1/networking/score-rules"
RUNS = "/api/v1/networking/score-runs"
AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MEETINGS = {"interactions": [{"interaction_type": "meeting", "points": 16, "most": 3}], "half_life_days": 10}


def meeting(days_ago: float) -> Happened:
    return Happened(new_id(), "meeting", AS_OF - days_ago * DAY)


def points(rules: ScoreRulesIn, *happened: Happened, **fields: str | None) -> list[int]:
    return [line.points for line in score_of(rules, fields, happened, as_of=AS_OF)[1]]


MEETING_RULES = ScoreRulesIn(
    interactions=[InteractionRule(interaction_type=InteractionType.MEETING, points=16, most=3)], half_life_days=10
)


def test_an_interaction_counts_half_after_each_half_life() -> None:
    assert points(MEETING_RULES, meeting(0), meeting(10), meeting(20)) == [16, 8, 4]


def test_only_the_latest_count_and_none_that_is_still_to_come() -> None:
    assert points(MEETING_RULES, *(meeting(age) for age in (40, 30, 0.5, 10, -1))) == [16, 8, 2]


def test_a_score_stays_the_same_within_a_day() -> None:
    assert points(MEETING_RULES, meeting(10.99)) == points(MEETING_RULES, meeting(10)) == [8]


def test_a_field_counts_whatever_its_case_and_an_empty_one_not_at_all() -> None:
    rules = ScoreRulesIn(
        fields=[FieldRule(field="industry", values=["Law"], points=7), FieldRule(field="email", points=2)]
    )

    assert points(rules, industry=" LAW ", email="a@example.com") == [7, 2]
    assert points(rules, industry="Lawn", email="") == points(rules, industry=None) == []


def test_silence_is_judged_by_the_last_interaction_and_none_at_all_is_the_longest() -> None:
    rules = ScoreRulesIn(
        recency=[RecencyRule(when="within", days=5, points=3), RecencyRule(when="beyond", days=5, points=-4)], least=-9
    )

    assert (points(rules, meeting(5)), points(rules, meeting(6)), points(rules)) == ([3], [-4], [-4])


ANY_RULES = st.builds(
    ScoreRulesIn,
    fields=st.lists(st.builds(FieldRule, field=st.sampled_from(["email", "status"]), points=st.integers(-50, 50))),
    interactions=st.lists(
        st.builds(
            InteractionRule,
            interaction_type=st.sampled_from(InteractionType),
            points=st.integers(-50, 50),
            most=st.integers(1, 5),
        )
    ),
    recency=st.lists(
        st.builds(
            RecencyRule,
            when=st.sampled_from(["within", "beyond"]),
            days=st.integers(1, 400),
            points=st.integers(-50, 50),
        )
    ),
    half_life_days=st.none() | st.integers(1, 400),
    least=st.integers(-100, 0),
    most=st.integers(1, 100),
)
ANY_PAST = st.lists(
    st.builds(
        Happened,
        st.uuids(),
        st.sampled_from([kind.value for kind in InteractionType]),
        st.integers(-300, 800).map(lambda days: AS_OF - days * DAY),
    ),
    max_size=20,
)


@given(rules=ANY_RULES, past=ANY_PAST, email=st.sampled_from(["", "a@example.com"]), chance=st.randoms())
def test_lines_add_up_within_bounds_and_no_order_of_the_facts_matters(
    rules: ScoreRulesIn, past: list[Happened], email: str, chance: Any
) -> None:
    score, lines = score_of(rules, {"email": email}, past, as_of=AS_OF)
    shuffled = list(past)
    chance.shuffle(shuffled)

    assert sum(line.points for line in lines) == score
    assert rules.least <= score <= rules.most
    assert score_of(rules, {"email": email}, shuffled, as_of=AS_OF) == (score, lines)
    known = {each.id for each in past if each.at <= AS_OF}
    assert {line.interaction_id for line in lines} <= {*known, None}


async def add(tenant: Tenant, **values: Any) -> str:
    answer = await tenant.client.post(CONTACTS, json={"first_name": "Ada", **values})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def log(tenant: Tenant, contact: str, *, days_ago: float = 0, kind: str = "meeting") -> None:
    moment = (clock.now() - days_ago * DAY).isoformat()
    body = {"interaction_type": kind, "interaction_date": moment}
    assert (await tenant.client.post(f"{CONTACTS}/{contact}/interactions", json=body)).status_code == 201


async def lead_score(tenant: Tenant, contact: str) -> int:
    return (await tenant.client.get(f"{CONTACTS}/{contact}")).json()["lead_score"]


async def set_rules(tenant: Tenant, rules: dict[str, Any], **headers: str) -> Any:
    return await tenant.client.put(RULES, json=rules, headers=headers)


async def test_a_score_follows_what_happens_and_tells_why(acme: Tenant) -> None:
    await set_rules(acme, MEETINGS)
    contact = await add(acme)
    await log(acme, contact, days_ago=10)
    await acme.run_jobs()

    shown = (await acme.client.get(f"{CONTACTS}/{contact}/score")).json()

    assert await lead_score(acme, contact) == shown["score"] == 8
    assert [(line["points"], line["reason"]) for line in shown["lines"]] == [(8, "meeting, 10 days ago")]
    assert shown["lines"][0]["interaction_id"]


async def test_a_score_is_no_change_of_the_contact(acme: Tenant) -> None:
    contact = await add(acme, email="ada@example.com", status="hot_lead")
    before = (await acme.client.get(f"{CONTACTS}/{contact}")).json()
    await acme.run_jobs()

    after = (await acme.client.get(f"{CONTACTS}/{contact}")).json()

    assert (before["lead_score"], after["lead_score"]) == (0, 15)
    assert after | {"lead_score": 0} == before


async def test_new_rules_are_the_next_version_and_score_everybody_anew(acme: Tenant) -> None:
    contact = await add(acme, industry="Law")
    first = await set_rules(acme, {"fields": [{"field": "industry", "points": 5}]})
    second = await set_rules(acme, {"fields": [{"field": "industry", "values": ["law"], "points": 9}]})
    await acme.run_jobs()
    changed = await lead_score(acme, contact)
    restored = await acme.client.post(f"{RULES}/versions/{first.json()['id']}/restore")
    await acme.run_jobs()

    assert [answer.json()["number"] for answer in (first, second, restored)] == [1, 2, 3]
    assert (changed, await lead_score(acme, contact)) == (9, 5)
    versions = (await acme.client.get(f"{RULES}/versions")).json()["items"]
    assert [version["number"] for version in versions] == [3, 2, 1]


async def test_of_two_who_change_the_rules_at_once_one_is_told(acme: Tenant) -> None:
    etag = (await acme.client.get(RULES)).headers["etag"]

    answers = await asyncio.gather(*(set_rules(acme, {"most": most}, **{"If-Match": etag}) for most in (50, 60)))

    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_what_nothing_gives_lies_between_least_and_most(acme: Tenant) -> None:
    answer = await set_rules(acme, {"least": 1, "most": 0})

    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"least", "most"}


async def test_a_preview_shows_what_would_be_and_changes_nothing(acme: Tenant) -> None:
    contact = await add(acme, industry="Law")
    body = {"fields": [{"field": "industry", "points": 30}]}

    (shown,) = (await acme.client.post(f"{RULES}/preview", json=body)).json()["items"]

    assert (shown["contact_id"], shown["before"], shown["after"]) == (contact, 0, 30)
    assert await lead_score(acme, contact) == 0
    assert (await acme.client.get(RULES)).json()["number"] == 0


async def fill(tenant: Tenant, count: int) -> list[UUID]:
    """Contacts, each with as many interactions as its place says, up to three."""
    owner = {"organization_id": tenant.organization_id}
    ids = [new_id() for _ in range(count)]
    people = [owner | {"id": key, "first_name": "Ada", "email": f"{key}@example.com"} for key in ids]
    happened = [
        owner
        | {
            "id": new_id(),
            "contact_id": key,
            "interaction_type": "meeting",
            "interaction_date": clock.now() - number * DAY,
            "status": "completed",
        }
        for place, key in enumerate(ids)
        for number in range(place % 4)
    ]
    async with tenant.database.system() as system:
        await system.execute(insert(Contact), people)
        await system.execute(insert(ContactInteraction), happened)
    return ids


async def scores_of(tenant: Tenant) -> dict[UUID, int]:
    async with tenant.database.system() as system:
        rows = await system.execute(
            select(Contact.id, Contact.lead_score).where(Contact.organization_id == tenant.organization_id)
        )
        return {row.id: row.lead_score for row in rows}


async def test_a_recomputation_that_dies_goes_on_from_its_last_batch(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "BATCH_CONTACTS", 10)
    ids = await fill(acme, 35)
    run_id = (await acme.client.post(RUNS)).json()["id"]
    store, batches = scores._store, 0

    async def dying(*arguments: Any, **named: Any) -> int:
        nonlocal batches
        batches += 1
        if batches == 3:
            raise ConnectionError("the worker is gone")
        return await store(*arguments, **named)

    monkeypatch.setattr(scores, "_store", dying)
    await acme.run_jobs()
    half = (await acme.client.get(f"{RUNS}/{run_id}")).json()
    await acme.make_jobs_due()
    await acme.run_jobs()
    whole = (await acme.client.get(f"{RUNS}/{run_id}")).json()

    assert (half["state"], half["contacts_done"], half["contacts_total"]) == ("running", 20, 35)
    assert (whole["state"], whole["contacts_done"], whole["contacts_changed"], batches) == ("done", 35, 26, 5)
    found = await scores_of(acme)
    assert [found[key] for key in ids[:4]] == [0, 20, 35, 50]


async def test_a_late_recomputation_does_not_undo_a_newer_score(acme: Tenant) -> None:
    await set_rules(acme, MEETINGS)
    await acme.run_jobs()
    contact = await add(acme)
    run_id = UUID((await acme.client.post(RUNS)).json()["id"])
    async with acme.database.system() as system:
        run = await system.get_one(ScoreRun, (acme.organization_id, run_id))
        run.as_of -= DAY
    await log(acme, contact)
    ctx = acme.ctx()
    await scores.score_contact(ctx, UUID(contact))
    await ctx.commit()
    await ctx.close()
    before = await lead_score(acme, contact)

    await acme.run_jobs()

    assert (before, await lead_score(acme, contact)) == (16, 16)


async def test_two_recomputations_as_of_one_moment_give_the_same(acme: Tenant) -> None:
    await fill(acme, 40)
    await acme.client.post(RUNS)
    await acme.run_jobs()
    first = await scores_of(acme)
    again = (await acme.client.post(RUNS)).json()["id"]
    await acme.run_jobs()

    assert await scores_of(acme) == first
    assert (await acme.client.get(f"{RUNS}/{again}")).json()["contacts_changed"] == 0
