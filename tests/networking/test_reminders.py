"""Interactions that are planned: what may become of them, their reminders, and the contact's last interaction."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from core import clock
from core.tasks.models import DomainEvent
from core.testing.tenants import Tenant
from modules.networking.actors import tell_reminders
from modules.networking.models import ContactInteraction
from modules.networking.services import agenda
from modules.networking.services.agenda import usual_reminder
from modules.networking.settings import NetworkingSettings

CONTACTS = "/api/v1/networking/contacts"
INTERACTIONS = "/api/v1/networking/interactions"
DAY = timedelta(days=1)


@pytest.fixture
async def contact(acme: Tenant) -> str:
    return (await acme.client.post(CONTACTS, json={"first_name": "Ada"})).json()["id"]


async def plan(tenant: Tenant, contact: str, *, days: float = 7, **values: Any) -> dict[str, Any]:
    moment = clock.now() + days * DAY
    body = {"interaction_type": "call", "interaction_date": moment.isoformat(), "status": "scheduled", **values}
    answer = await tenant.client.post(f"{CONTACTS}/{contact}/interactions", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def act(tenant: Tenant, planned: dict[str, Any], action: str, body: Any = None, *, expect: int = 200) -> Any:
    answer = await tenant.client.post(f"{INTERACTIONS}/{planned['id']}/{action}", json=body)
    assert answer.status_code == expect, answer.text
    return answer.json()


async def last(tenant: Tenant, contact: str) -> datetime | None:
    found = (await tenant.client.get(f"{CONTACTS}/{contact}")).json()["last_interaction"]
    return found and datetime.fromisoformat(found)


async def due(tenant: Tenant, planned: dict[str, Any]) -> None:
    """Let the reminder's time be past."""
    async with tenant.database.system() as system:
        await system.execute(
            update(ContactInteraction)
            .where(ContactInteraction.id == UUID(planned["id"]))
            .values(remind_at=clock.now() - timedelta(minutes=1), updated_at=ContactInteraction.updated_at)
            .execution_options(synchronize_session=False)
        )


async def told(tenant: Tenant) -> list[str]:
    async with tenant.database.system() as system:
        payloads = await system.scalars(
            select(DomainEvent.payload)
            .where(
                DomainEvent.organization_id == tenant.organization_id, DomainEvent.type == "networking.follow_up_due"
            )
            .order_by(DomainEvent.sequence)
        )
        return [payload["interaction_id"] for payload in payloads]


async def fire(tenant: Tenant, times: int = 1) -> None:
    """The schedule fires, as often as that at once."""
    ctx = tenant.ctx()
    for _ in range(times):
        ctx.enqueue(tell_reminders)
    await ctx.commit()
    await ctx.close()


@pytest.mark.parametrize(
    ("moment", "zone", "expected"),
    [
        ("2026-03-10T15:00:00Z", "Europe/Berlin", "2026-03-09T08:00:00Z"),
        ("2026-03-30T15:00:00Z", "Europe/Berlin", "2026-03-29T07:00:00Z"),  # the day on which the clock goes forward
        ("2026-03-10T02:00:00Z", "America/Los_Angeles", "2026-03-08T16:00:00Z"),  # still the 9th there
        ("2026-03-10T02:00:00Z", "Pacific/Kiritimati", "2026-03-08T19:00:00Z"),
    ],
)
def test_a_reminder_comes_at_the_usual_hour_of_the_organizations_own_day(moment: str, zone: str, expected: str) -> None:
    found = usual_reminder(datetime.fromisoformat(moment), ZoneInfo(zone), NetworkingSettings())

    assert found == datetime.fromisoformat(expected)


def test_an_hour_that_the_clock_skips_is_still_a_moment_before() -> None:
    settings = NetworkingSettings(reminder_hour=2)

    found = usual_reminder(datetime(2026, 3, 30, 15, tzinfo=UTC), ZoneInfo("Europe/Berlin"), settings)

    assert found == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_where_the_usual_hour_is_too_late_it_comes_an_hour_before() -> None:
    moment = datetime(2026, 3, 10, 6, tzinfo=UTC)

    found = usual_reminder(moment, ZoneInfo("UTC"), NetworkingSettings(reminder_days_before=0))

    assert found == moment - timedelta(hours=1)


async def test_a_planned_interaction_gets_its_reminder_in_the_organizations_zone(acme: Tenant, contact: str) -> None:
    here = await acme.client.get("/api/v1/organizations/current")
    settings = here.json()["settings"] | {"time_zone": "Asia/Tokyo"}
    assert (await acme.client.patch("/api/v1/organizations/current", json={"settings": settings})).is_success

    planned = await plan(acme, contact)

    local = datetime.fromisoformat(planned["remind_at"]).astimezone(ZoneInfo("Asia/Tokyo"))
    met = datetime.fromisoformat(planned["interaction_date"]).astimezone(ZoneInfo("Asia/Tokyo"))
    assert (local.hour, local.date()) == (9, met.date() - DAY)


async def test_what_is_over_or_past_has_no_reminder(acme: Tenant, contact: str) -> None:
    over = await plan(acme, contact, days=-1, status="completed")
    missed = await plan(acme, contact, days=-1)

    assert (over["remind_at"], missed["remind_at"]) == (None, None)


async def test_a_due_reminder_is_told_once_however_often_the_schedule_fires(acme: Tenant, contact: str) -> None:
    planned, later = await plan(acme, contact), await plan(acme, contact)
    await due(acme, planned)

    await fire(acme, times=5)
    await asyncio.gather(*(acme.run_jobs() for _ in range(3)))
    await fire(acme)
    await acme.run_jobs()

    assert await told(acme) == [planned["id"]]
    assert later["id"] not in await told(acme)
    shown = (await acme.client.get(f"{INTERACTIONS}/{planned['id']}")).json()
    assert (shown["version"], shown["updated_at"]) == (planned["version"], planned["updated_at"])


async def test_a_firing_that_dies_half_way_tells_the_rest_and_nothing_twice(
    acme: Tenant, contact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agenda, "BATCH_REMINDERS", 2)
    planned = [await plan(acme, contact) for _ in range(5)]
    for each in planned:
        await due(acme, each)
    found, batches = agenda._due, 0

    async def dying(ctx: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches == 2:
            await found(ctx)
            raise ConnectionError("the worker is gone")
        return await found(ctx)

    monkeypatch.setattr(agenda, "_due", dying)
    await fire(acme)
    await acme.run_jobs()
    half = await told(acme)
    await acme.make_jobs_due()
    await acme.run_jobs()

    assert len(half) == 2
    assert sorted(await told(acme)) == sorted(each["id"] for each in planned)


async def test_nobody_is_reminded_of_what_is_off(acme: Tenant, contact: str) -> None:
    cancelled, completed, deleted = [await plan(acme, contact) for _ in range(3)]
    for each in (cancelled, completed, deleted):
        await due(acme, each)
    await act(acme, cancelled, "cancel")
    await act(acme, completed, "complete", {})
    await acme.client.delete(f"{INTERACTIONS}/{deleted['id']}")

    await fire(acme)
    await acme.run_jobs()

    assert await told(acme) == []


async def test_what_is_rescheduled_is_reminded_of_again(acme: Tenant, contact: str) -> None:
    planned = await plan(acme, contact)
    await due(acme, planned)
    await fire(acme)
    await acme.run_jobs()
    body = {"interaction_date": (clock.now() + 30 * DAY).isoformat()}
    moved = (await acme.client.patch(f"{INTERACTIONS}/{planned['id']}", json=body)).json()
    await due(acme, planned)
    await fire(acme)
    await acme.run_jobs()

    assert moved["remind_at"] > planned["remind_at"]
    assert await told(acme) == [planned["id"]] * 2


async def test_only_what_is_scheduled_is_completed_or_cancelled_and_once(acme: Tenant, contact: str) -> None:
    done, off = await plan(acme, contact), await plan(acme, contact)
    assert (await act(acme, done, "complete", {"outcome": "Signed"}))["outcome"] == "Signed"
    assert (await act(acme, off, "cancel"))["status"] == "cancelled"

    for planned in (done, off):
        assert (await act(acme, planned, "complete", {}, expect=409))["code"] == "not-scheduled"
        assert (await act(acme, planned, "cancel", expect=409))["code"] == "not-scheduled"
    revived = await acme.client.patch(f"{INTERACTIONS}/{off['id']}", json={"subject": "Again"})
    assert (revived.status_code, revived.json()["code"]) == (409, "cancelled")


async def test_completing_and_cancelling_at_once_one_wins(acme: Tenant, contact: str) -> None:
    planned = await plan(acme, contact)

    answers = await asyncio.gather(
        acme.client.post(f"{INTERACTIONS}/{planned['id']}/complete", json={}),
        acme.client.post(f"{INTERACTIONS}/{planned['id']}/cancel"),
    )

    assert sorted(answer.status_code for answer in answers) in ([200, 409], [200, 412])


async def test_nothing_takes_place_in_the_future(acme: Tenant, contact: str) -> None:
    planned = await plan(acme, contact)
    tomorrow = (clock.now() + DAY).isoformat()

    refused = await act(acme, planned, "complete", {"interaction_date": tomorrow}, expect=422)
    early = await act(acme, planned, "complete", {})

    assert [error["field"] for error in refused["errors"]] == ["interaction_date"]
    assert datetime.fromisoformat(early["interaction_date"]) <= clock.now()


async def test_the_last_interaction_follows_all_that_becomes_of_interactions(acme: Tenant, contact: str) -> None:
    old = await plan(acme, contact, days=-9, status="completed")
    new = await plan(acme, contact, days=-3)
    seen = [await last(acme, contact)]
    await act(acme, new, "complete", {})
    seen.append(await last(acme, contact))
    await acme.client.delete(f"{INTERACTIONS}/{new['id']}")
    seen.append(await last(acme, contact))
    await act(acme, new, "restore")
    seen.append(await last(acme, contact))
    moved = (clock.now() - 20 * DAY).isoformat()
    await acme.client.patch(f"{INTERACTIONS}/{new['id']}", json={"interaction_date": moved})
    seen.append(await last(acme, contact))
    await acme.client.delete(f"{INTERACTIONS}/{old['id']}")
    await acme.client.delete(f"{INTERACTIONS}/{new['id']}")
    seen.append(await last(acme, contact))

    dates = [datetime.fromisoformat(each["interaction_date"]) for each in (old, new)]
    assert seen == [dates[0], dates[1], dates[0], dates[1], dates[0], None]


async def test_the_last_interaction_is_right_after_many_changes_at_once(acme: Tenant, contact: str) -> None:
    planned = [await plan(acme, contact, days=-number) for number in range(1, 9)]

    answers = await asyncio.gather(*(act(acme, each, "complete", {}) for each in planned))
    await asyncio.gather(*(acme.client.delete(f"{INTERACTIONS}/{each['id']}") for each in planned[:4]))

    assert {answer["status"] for answer in answers} == {"completed"}
    assert await last(acme, contact) == datetime.fromisoformat(planned[4]["interaction_date"])


async def test_of_two_who_change_one_interaction_the_one_who_read_an_older_one_is_told(
    acme: Tenant, contact: str
) -> None:
    planned = await plan(acme, contact)
    url, headers = f"{INTERACTIONS}/{planned['id']}", {"If-Match": '"1"'}

    answers = [await acme.client.patch(url, json={"subject": name}, headers=headers) for name in ("one", "two")]

    assert [answer.status_code for answer in answers] == [200, 412]
