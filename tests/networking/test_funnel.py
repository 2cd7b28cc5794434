"""The funnel, against the same numbers worked out in Python; and the timeline, which holds each entry once."""

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from importing import CONTACTS, add
from sqlalchemy import text

from core import clock
from core.ids import new_id
from core.permissions import Role
from core.testing.tenants import Tenant, make_member
from modules.networking.services.funnel import midnight
from modules.networking.values import ContactType

FUNNEL = "/api/v1/networking/funnel"
ORDER = [stage.value for stage in ContactType]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
INSERT_CONTACT = text(
    "INSERT INTO networking.contacts (organization_id, id, first_name, contact_type, status, priority, created_at, "
    "is_deleted, owner_id) VALUES (:tenant, :id, 'Ada', :stage, 'new_client', 'low', :at, :deleted, :owner)"
)
INSERT_STAY = text(
    "INSERT INTO networking.contact_stages "
    "(organization_id, id, contact_id, stage, to_stage, entered_at, left_at, source) "
    "VALUES (:tenant, :id, :contact, :stage, :to, :entered, :left, 'api')"
)


class Stay(NamedTuple):
    stage: str
    to: str | None
    entered: datetime
    left: datetime | None
    owner: UUID
    deleted: bool


async def lives(tenant: Tenant, owners: list[UUID]) -> list[Stay]:
    """Eighty contacts with lives of their own, some of them in the trash, some merged into another."""
    chance, made = random.Random(11), []  # noqa: S311 # the same ones each time
    async with tenant.database.system() as system:
        for _ in range(80):
            contact, owner, deleted = new_id(), chance.choice(owners), chance.random() < 0.1
            path, moment = [chance.choice(ORDER)], BEGIN + timedelta(hours=chance.randrange(24 * 60))
            moments = [moment]
            while chance.random() < 0.6:
                path.append(chance.choice([stage for stage in ORDER if stage != path[-1]]))
                moments.append(moments[-1] + timedelta(minutes=chance.randrange(60 * 24 * 20)))
            values = {"tenant": tenant.organization_id, "id": contact, "stage": path[-1], "at": moment}
            await system.execute(INSERT_CONTACT, values | {"deleted": deleted, "owner": owner})
            stays = [
                Stay(a, b, m, n, owner, deleted)
                for (a, b), (m, n) in zip(pairwise(path), pairwise(moments), strict=True)
            ]
            merged_at = moments[-1] + timedelta(hours=3) if chance.random() < 0.2 else None
            stays.append(Stay(path[-1], None, moments[-1], merged_at, owner, deleted))
            await system.execute(text("DELETE FROM networking.contact_stages WHERE contact_id = :id"), {"id": contact})
            for stay in stays:
                values = {"tenant": tenant.organization_id, "id": new_id(), "contact": contact}
                values |= {"stage": stay.stage, "to": stay.to, "entered": stay.entered, "left": stay.left}
                await system.execute(INSERT_STAY, values)
            made += stays
    return made


def worked_out(stays: list[Stay], begin: datetime | None, end: datetime, owner: UUID | None) -> list[dict[str, Any]]:
    shown = []
    for stage in ORDER:
        mine = [
            stay
            for stay in stays
            if stay.stage == stage
            and not stay.deleted
            and (begin is None or stay.entered >= begin)
            and stay.entered < end
            and owner in (None, stay.owner)
        ]
        gone = [stay for stay in mine if stay.left is not None and stay.left < end]
        onward = [stay for stay in gone if stay.to and ORDER.index(stay.to) > ORDER.index(stage)]
        back = [stay for stay in gone if stay.to and ORDER.index(stay.to) < ORDER.index(stage)]
        took = sorted((stay.left - stay.entered).total_seconds() for stay in (*onward, *back) if stay.left)
        shown.append(
            {
                "stage": stage,
                "entered": len(mine),
                "left_onward": len(onward),
                "left_back": len(back),
                "merged": len([stay for stay in gone if stay.to is None]),
                "still_in": len(mine) - len(gone),
                "conversion_rate": round(len(onward) / len(mine), 4) if mine else None,
                "median_seconds": pytest.approx(median(took)) if took else None,
                "p90_seconds": pytest.approx(ninetieth(took)) if took else None,
            }
        )
    return shown


def ninetieth(took: list[float]) -> float:
    place = 0.9 * (len(took) - 1)
    below = int(place)
    above = min(below + 1, len(took) - 1)
    return took[below] + (took[above] - took[below]) * (place - below)


async def test_every_number_is_what_the_stays_say(acme: Tenant, globex: Tenant) -> None:
    owners = [uuid4(), uuid4()]
    stays = await lives(acme, owners)
    await lives(globex, owners)
    settings = (await acme.client.get("/api/v1/organizations/current")).json()["settings"]
    await acme.client.patch("/api/v1/organizations/current", json={"settings": settings | {"time_zone": "Asia/Tokyo"}})
    seen = 0
    for begin, end, zone, owner in (
        (None, None, None, None),
        (None, None, None, owners[0]),
        ("2026-01-05", "2026-02-01", None, None),
        ("2026-01-05", "2026-02-01", "America/New_York", None),
        ("2026-01-20", "2026-01-20", "UTC", None),
        ("2026-01-10", None, "Europe/Berlin", owners[1]),
        (None, "2026-03-29", "Pacific/Kiritimati", None),
        ("2026-02-01", "2026-02-10", "UTC", uuid4()),
    ):
        given = {"from": begin, "to": end, "zone": zone, "owner_id": owner and str(owner)}
        answer = await acme.client.get(FUNNEL, params={name: value for name, value in given.items() if value})

        assert answer.status_code == 200, answer.text
        told = answer.json()
        clocks = ZoneInfo(zone or "Asia/Tokyo")
        first, last = (each and datetime.fromisoformat(each).replace(tzinfo=clocks) for each in (begin, end))
        assert told["stages"] == worked_out(stays, first or None, last or clock.now(), owner), given
        assert told["zone"] == str(clocks)
        assert (told["begins_at"] and datetime.fromisoformat(told["begins_at"])) == first
        for stage in told["stages"]:
            assert stage["entered"] == sum(stage[name] for name in ("left_onward", "left_back", "merged", "still_in"))
            seen += stage["entered"]
    assert seen > 300


async def test_a_contact_that_is_not_for_ones_eyes_is_not_counted(acme: Tenant) -> None:
    owner, colleague = await make_member(acme, Role.MANAGER), await make_member(acme, Role.MANAGER)
    hidden = await add(owner, email="ada@example.com", visibility="owner")
    await add(owner, first_name="Grace")

    counts = []
    for who in (owner, colleague, acme):
        stages = (await who.client.get(FUNNEL, params={"owner_id": str(owner.user_id)})).json()["stages"]
        counts.append(stages[0]["entered"])
    moved = await colleague.client.post(f"{CONTACTS}/{hidden['id']}/stage", json={"contact_type": "contact"})

    assert counts == [2, 1, 2]
    assert moved.status_code == 404


@pytest.mark.parametrize(
    "day, zone, expected",
    [
        ("2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00+00:00"),
        ("2026-03-30", "Europe/Berlin", "2026-03-29T22:00:00+00:00"),
        ("2026-04-24", "Africa/Cairo", "2026-04-23T22:00:00+00:00"),  # there is no midnight: it begins at one
        ("2026-11-01", "America/Havana", "2026-11-01T04:00:00+00:00"),  # midnight comes twice: it begins at the first
        ("2026-01-01", "Pacific/Kiritimati", "2025-12-31T10:00:00+00:00"),
    ],
)
def test_a_day_begins_when_the_clocks_there_say_so(day: str, zone: str, expected: str) -> None:
    assert midnight(date.fromisoformat(day), ZoneInfo(zone)) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "given, field",
    [
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../../etc/passwd"}, "zone"),
        ({"zone": "America"}, "zone"),
        ({"from": "2026-02-30"}, "from"),
        ({"from": "0001-01-01"}, "from"),
        ({"to": "9999-12-31", "zone": "America/New_York"}, "to"),
        ({"from": "2026-02-02", "to": "2026-02-01"}, "from"),
        ({"from": "2999-01-01"}, "from"),
        ({"owner_id": "me"}, "owner_id"),
        ({"from": "1767225600"}, "from"),
    ],
)
async def test_a_range_that_is_none_is_told(acme: Tenant, given: dict[str, str], field: str) -> None:
    answer = await acme.client.get(FUNNEL, params=given)

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field]), answer.text


async def test_a_timeline_holds_all_that_happened_once_the_latest_first(acme: Tenant) -> None:
    contact = await add(acme, email="ada@example.com")
    other = await add(acme, first_name="Other")
    url = f"{CONTACTS}/{contact['id']}"
    logged = []
    for day, of in (("2026-03-01", contact), ("2026-03-01", other), ("2999-01-01", contact)):
        body = {"interaction_type": "call", "interaction_date": f"{day}T10:00:00Z", "subject": day}
        body |= {"status": "scheduled"} if day.startswith("2999") else {}
        logged.append((await acme.client.post(f"{CONTACTS}/{of['id']}/interactions", json=body)).json()["id"])
    gone = {"interaction_type": "call", "interaction_date": "2026-03-02T10:00:00Z"}
    gone = (await acme.client.post(f"{url}/interactions", json=gone)).json()["id"]
    await acme.client.delete(f"/api/v1/networking/interactions/{gone}")
    await acme.client.post(f"{url}/stage", json={"contact_type": "contact"})
    await acme.client.post(f"{url}/stage", json={"contact_type": "target", "stage_reason": "Too early"})
    merged = (await acme.client.post(f"{url}/merges", json={"other_id": other["id"]})).json()["id"]

    entries, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await acme.client.get(f"{CONTACTS}/{other['id']}/timeline", params=params)).json()
        entries += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    kinds = [entry["kind"] for entry in entries]
    assert kinds == ["interaction", "merge", "stage", "stage", "created", "interaction", "interaction"]
    moments = [datetime.fromisoformat(entry["at"]) for entry in entries]
    assert moments == sorted(moments, reverse=True)
    assert {entry["id"] for entry in entries if entry["kind"] == "interaction"} == set(logged)
    assert (entries[0]["status"], entries[0]["subject"]) == ("scheduled", "2999-01-01")
    assert (entries[1]["id"], entries[1]["merged_id"]) == (merged, other["id"])
    assert [(entry["from_stage"], entry["to_stage"], entry["reason"]) for entry in entries[2:4]] == [
        ("contact", "target", "Too early"),
        ("target", "contact", None),
    ]
    assert (entries[4]["id"], entries[4]["user_id"]) == (contact["id"], str(acme.user_id))
    assert len({entry["id"] for entry in entries}) == len(entries)
