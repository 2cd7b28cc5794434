"""The history of stages: whatever moves a contact is written down, once, and the stays have no gap between them."""

import importlib.util
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from importing import CONTACTS, IMPORTS, add, hash_of, imported
from sqlalchemy import text

import modules.networking
from core import clock
from core.testing.tenants import Tenant
from modules.networking.importing import taking

STAGES = "networking.contact_stages"
PLUG = {"company": "Engines", "business_type": "startup", "network_type": "referral"}
BACKFILL = Path(modules.networking.__file__).parent / "migrations" / "0041_backfill_contact_stages.py"


async def stays(tenant: Tenant, contact: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await tenant.client.get(f"{CONTACTS}/{contact['id']}/stages", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def path(tenant: Tenant, contact: dict[str, Any]) -> list[tuple[str, str]]:
    return [(stay["stage"], stay["source"]) for stay in await stays(tenant, contact)]


async def move(tenant: Tenant, contact: dict[str, Any], stage: str, **more: Any) -> None:
    url = f"{CONTACTS}/{contact['id']}/stage"
    answer = await tenant.client.post(url, json={"contact_type": stage, **more})
    assert answer.status_code == 200, answer.text


async def merge(tenant: Tenant, one: dict[str, Any], other: dict[str, Any], **choices: list[str]) -> str:
    url = f"{CONTACTS}/{one['id']}/merges"
    answer = await tenant.client.post(url, json={"other_id": other["id"], **choices})
    assert answer.status_code == 201, answer.text
    return f"/api/v1/networking/merges/{answer.json()['id']}/undo"


def moment(value: str) -> datetime:
    return datetime.fromisoformat(value)


async def test_stays_follow_each_other_without_a_gap_and_say_who_why_and_how_long(acme: Tenant) -> None:
    chance, began = random.Random(5), clock.now()  # noqa: S311 # the same ones each time
    moves = {"target": ["contact"], "contact": ["plug", "target"], "plug": ["contact", "target"]}
    with time_machine.travel(began, tick=False) as clocks:
        contact = await add(acme, email="ada@example.com", **PLUG)
        expected, stage, spent = [("target", None, None)], "target", []
        for number in range(12):
            seconds = chance.randrange(1, 40)
            clocks.shift(timedelta(seconds=seconds))
            spent.append(seconds)
            before, stage = stage, chance.choice(moves[stage])
            await move(acme, contact, stage, stage_reason=f"Because {number}")
            expected.append((stage, before, f"Because {number}"))

    told = await stays(acme, contact)

    assert [(stay["stage"], stay["from_stage"], stay["reason"]) for stay in told] == expected
    assert [stay["duration_seconds"] for stay in told[:-1]] == spent
    assert [stay["to_stage"] for stay in told] == [*(each[0] for each in expected[1:]), None]
    assert [stay["left_at"] for stay in told] == [*(stay["entered_at"] for stay in told[1:]), None]
    assert {(stay["source"], stay["moved_by"]) for stay in told} == {("api", str(acme.user_id))}
    assert moment(told[0]["entered_at"]) == moment(contact["created_at"])


async def test_a_clock_that_is_behind_ends_no_stay_before_it_began(acme: Tenant) -> None:
    contact = await add(acme, email="ada@example.com")
    with time_machine.travel(clock.now() - timedelta(seconds=20), tick=True):
        await move(acme, contact, "contact")

    first, second = await stays(acme, contact)
    assert first["entered_at"] == first["left_at"] == second["entered_at"]
    assert first["duration_seconds"] == 0


async def test_what_changes_nothing_of_the_stage_leaves_the_history_alone(acme: Tenant) -> None:
    contact = await add(acme, email="ada@example.com", contact_type="contact")
    before = await hash_of(acme, STAGES)
    url = f"{CONTACTS}/{contact['id']}"

    await acme.client.patch(url, json={"company": "Engines", "contact_type": "contact"})
    await acme.client.delete(url)
    await acme.client.post(f"{url}/restore")
    await imported(acme, b"email,contact_type,industry\nada@example.com,contact,Law\n", mode="update")

    assert (await acme.client.get(url)).json()["industry"] == "Law"
    assert await hash_of(acme, STAGES) == before


async def test_a_move_past_the_services_is_written_down_too(acme: Tenant) -> None:
    contact = await add(acme)
    async with acme.database.system() as system:
        change = "UPDATE networking.contacts SET contact_type = 'plug' WHERE id = :id"
        await system.execute(text(change), {"id": contact["id"]})

    assert [(stay["stage"], stay["moved_by"]) for stay in await stays(acme, contact)] == [
        ("target", str(acme.user_id)),
        ("plug", None),
    ]


async def test_a_move_that_is_rolled_back_leaves_nothing(acme: Tenant) -> None:
    contact = await add(acme, email="ada@example.com")
    await add(acme, phone="+44 20 7946 0018")
    before = await hash_of(acme, STAGES)
    body = {"contact_type": "contact", "phone": "+44 20 7946 0018"}

    refused = await acme.client.post(f"{CONTACTS}/{contact['id']}/stage", json=body)

    assert (refused.status_code, refused.json()["code"]) == (409, "duplicate-contact")
    assert await hash_of(acme, STAGES) == before


@pytest.mark.parametrize("batch", [1, 500])
async def test_an_import_and_its_revert_are_stays_of_their_own(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(taking, "BATCH_ROWS", batch)
    contact = await add(acme, email="ada@example.com", contact_type="contact")
    content = (
        b"first_name,email,contact_type,stage_reason\n"
        b"Ada,ada@example.com,target,Left the company\n"
        b"Bob,bob@example.com,contact,\n"
    )
    job = await imported(acme, content, mode="upsert")
    bob = (await acme.client.get(CONTACTS, params={"q": "bob"})).json()["items"][0]
    assert await path(acme, bob) == [("contact", "import")]
    assert await path(acme, contact) == [("contact", "api"), ("target", "import")]
    assert [stay["reason"] for stay in await stays(acme, contact)] == [None, "Left the company"]
    assert (await stays(acme, contact))[1]["moved_by"] == str(acme.user_id)

    await acme.client.post(f"{IMPORTS}/{job['id']}/revert")
    await acme.run_jobs()

    assert await path(acme, contact) == [("contact", "api"), ("target", "import"), ("contact", "revert")]
    assert (await acme.client.get(f"{CONTACTS}/{bob['id']}/stages")).status_code == 404
    async with acme.database.system() as system:
        left = text(f"SELECT count(*) FROM {STAGES} WHERE contact_id = :id")
        assert await system.scalar(left, {"id": bob["id"]}) == 0


async def test_a_merge_moves_the_history_along_and_its_undo_gives_it_back_to_the_row(acme: Tenant) -> None:
    one = await add(acme, first_name="One", email="one@example.com")
    other = await add(acme, first_name="Other", email="other@example.com", **PLUG)
    await move(acme, other, "contact")
    await move(acme, other, "plug")
    before = await hash_of(acme, STAGES)

    for choices in ({"take": ["contact_type"]}, {}):
        undo = await merge(acme, one, other, **choices)
        told = await stays(acme, one)
        assert sorted(stay["stage"] for stay in told) == sorted(
            ["target", "target", "contact", "plug", *(["plug"] if choices else [])]
        )
        assert [stay["stage"] for stay in told if stay["left_at"] is None] == [("plug" if choices else "target")]
        assert [stay["source"] for stay in told].count("merge") == len(choices)
        assert [stay["id"] for stay in told] == [stay["id"] for stay in await stays(acme, other)]

        assert (await acme.client.post(undo)).status_code == 200

        assert await hash_of(acme, STAGES) == before
        assert await path(acme, other) == [("target", "api"), ("contact", "api"), ("plug", "api")]


async def test_a_chain_of_merges_gives_every_history_back(acme: Tenant) -> None:
    a, b, c = [await add(acme, first_name=name, email=f"{name}@example.com") for name in "ABC"]
    await move(acme, a, "contact")
    start = await hash_of(acme, STAGES)
    first = await merge(acme, b, a, take=["contact_type"])
    between = await hash_of(acme, STAGES)
    second = await merge(acme, c, b, take=["contact_type"])
    assert len(await stays(acme, a)) == 6

    for undo, expected in ((second, between), (first, start)):
        assert (await acme.client.post(undo)).status_code == 200
        assert await hash_of(acme, STAGES) == expected


@pytest.mark.parametrize("stage_after", ["target", "contact"])
async def test_moves_after_a_merge_stay_in_the_history_when_it_is_undone(acme: Tenant, stage_after: str) -> None:
    one = await add(acme, first_name="One", email="one@example.com")
    other = await add(acme, first_name="Other", email="other@example.com", contact_type="contact")
    undo = await merge(acme, one, other, take=["contact_type"])
    await move(acme, one, "target", stage_reason="Too early")
    if stage_after == "contact":
        await move(acme, one, "contact")

    kept = (await acme.client.post(undo)).json()["kept"]

    so_far = [("target", "api"), ("contact", "merge"), ("target", "api")]
    if stage_after == "contact":
        so_far += [("contact", "api"), ("target", "merge")]
    assert kept == (["contact_type"] if stage_after == "target" else [])
    assert await path(acme, one) == so_far
    assert (await stays(acme, one))[-1]["left_at"] is None
    assert await path(acme, other) == [("contact", "api")]
    assert (await acme.client.get(f"{CONTACTS}/{one['id']}")).json()["contact_type"] == "target"


async def test_contacts_from_before_the_history_are_filled_in_once(acme: Tenant) -> None:
    old, known = await add(acme, email="a@example.com", contact_type="contact"), await add(acme)
    spec = importlib.util.spec_from_file_location("backfill", BACKFILL)
    assert spec is not None
    assert spec.loader is not None
    revision = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(revision)
    hashes: list[str] = []
    async with acme.database.system() as system:
        await system.execute(text(f"DELETE FROM {STAGES} WHERE contact_id = :id"), {"id": old["id"]})
    for _ in range(2):
        async with acme.database.system() as system:
            await system.execute(text(revision.BACKFILL))
        hashes.append(await hash_of(acme, STAGES))

    assert hashes[0] == hashes[1]
    assert await path(acme, known) == [("target", "api")]
    (stay,) = await stays(acme, old)
    assert (stay["stage"], stay["source"]) == ("contact", "backfill")
    assert moment(stay["entered_at"]) == moment(old["created_at"])
    await move(acme, old, "target", stage_reason="Lost")
    assert await path(acme, old) == [("contact", "backfill"), ("target", "api")]


async def test_a_merge_from_before_the_history_is_undone_all_the_same(acme: Tenant) -> None:
    one = await add(acme, email="one@example.com")
    other = await add(acme, email="other@example.com", contact_type="contact")
    undo = await merge(acme, one, other, take=["contact_type"])
    async with acme.database.system() as system:
        mine = {"id": acme.organization_id}
        await system.execute(
            text("UPDATE networking.contact_merges SET stages = '{}' WHERE organization_id = :id"), mine
        )

    answer = await acme.client.post(undo)

    assert answer.status_code == 200
    assert (await acme.client.get(f"{CONTACTS}/{one['id']}")).json()["contact_type"] == "target"
    assert (await stays(acme, one))[-1]["source"] == "merge"


async def test_nobody_sees_another_organizations_history(acme: Tenant, globex: Tenant) -> None:
    theirs = await add(globex)
    for contact_id in (theirs["id"], str(uuid4())):
        for what in ("stages", "timeline"):
            answer = await acme.client.get(f"{CONTACTS}/{contact_id}/{what}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
