"""The pipeline: one rule, asked by the API and by the import; what it refuses, and what it says of it."""

import asyncio
from itertools import product
from typing import Any

import pytest
from importing import CONTACTS, IMPORTS, add, contacts, imported, told, upload
from sqlalchemy import text

from core.testing.tenants import Tenant
from modules.networking.importing import taking
from modules.networking.pipeline import PipelineRules, Requirement, StageField, Transition, check_move
from modules.networking.values import ContactType

READY = {"email": "ada@example.com", "company": "Engines", "business_type": "startup", "network_type": "referral"}
STAGES = tuple(stage.value for stage in ContactType)
FORWARD = {("target", "contact"), ("contact", "plug")}
BACK = {("contact", "target"), ("plug", "contact"), ("plug", "target")}
NEEDS = {
    "target": [],
    "contact": [{"email", "phone"}],
    "plug": [{"email", "phone"}, {"company"}, {"business_type"}, {"network_type"}],
}
SETTINGS = "/api/v1/modules/networking/settings"


async def move(tenant: Tenant, contact: dict[str, Any], stage: str, **more: Any) -> Any:
    return await tenant.client.post(f"{CONTACTS}/{contact['id']}/stage", json={"contact_type": stage, **more})


async def at(tenant: Tenant, stage: str, name: str, **values: str) -> dict[str, Any]:
    """A contact that is at a stage, whether or not it has what the stage takes."""
    contact = await add(tenant, first_name=name, **values)
    async with tenant.database.system() as system:
        await system.execute(
            text("UPDATE networking.contacts SET contact_type = :stage WHERE id = :id"),
            {"stage": stage, "id": contact["id"]},
        )
    return contact


def wanted(start: str | None, end: str, filled: frozenset[str], *, reason: bool) -> set[tuple[str, str]]:
    """The errors that there should be, worked out in another way."""
    if start == end:
        return set()
    if start is not None and (start, end) not in FORWARD | BACK:
        return {("contact_type", "stage-not-allowed")}
    errors = {(min(need), "required") for need in NEEDS[end] if not need & filled}
    return errors | ({("stage_reason", "required")} if (start, end) in BACK and not reason else set())


def test_every_move_with_every_set_of_fields_is_judged_by_the_table() -> None:
    fields = ("email", "phone", "company", "business_type", "network_type")
    rules = PipelineRules()
    refused = 0
    for start, end, has, reason in product((None, *STAGES), STAGES, product((0, 1), repeat=5), (None, " ", "Bounced")):
        values = {field: "x" if there else " " for field, there in zip(fields, has, strict=True)}
        filled = frozenset(field for field, there in zip(fields, has, strict=True) if there)
        before = None if start is None else values | {"contact_type": start}

        errors = check_move(before, values | {"contact_type": end}, reason, rules)

        found = {(error.field, error.code) for error in errors}
        assert found == wanted(start, end, filled, reason=reason == "Bounced"), (start, end, values, reason)
        assert len(found) == len(errors)
        refused += bool(found)
    assert refused > 500


def test_a_contact_may_go_on_lacking_what_it_lacked_and_lose_nothing_that_its_stage_asks_for() -> None:
    plug = {"contact_type": "plug", **READY}
    bare = {"contact_type": "plug"}

    lost = check_move(plug, plug | {"email": None, "company": ""}, None, PipelineRules())
    replaced = check_move(plug, plug | {"email": None, "phone": "1"}, None, PipelineRules())
    still_bare = check_move(bare, bare | {"industry": "Law"}, None, PipelineRules())

    assert [error.field for error in lost] == ["email", "company"]
    assert replaced == still_bare == []


@pytest.mark.parametrize("start, end", [("target", "target"), ("target", "contact")])
def test_a_table_has_each_move_once_and_none_that_stays(start: str, end: str) -> None:
    twice = (Transition(from_stage=ContactType(start), to_stage=ContactType(end)),) * 2
    with pytest.raises(ValueError, match="each move once"):
        PipelineRules(transitions=twice)


async def test_the_api_and_the_import_say_the_same_of_every_move(acme: Tenant) -> None:
    asked: list[tuple[str, str, bool, bool]] = []
    rows, verdicts = ["id,contact_type,stage_reason"], []
    for number, (start, end, ready, reason) in enumerate(product(STAGES, STAGES, (True, False), (True, False))):
        if start == end:
            continue
        asked.append((start, end, ready, reason))
        values = READY | {"email": f"a{number}@example.com"} if ready else {}
        by_route, by_patch, by_file = [await at(acme, start, f"N{number}{way}") for way in "abc"]
        for contact in (by_route, by_patch, by_file):
            values and await acme.client.patch(
                f"{CONTACTS}/{contact['id']}", json=values, params={"allow_duplicate": True}
            )
        why = {"stage_reason": "They left"} if reason else {}
        answers = [
            await move(acme, by_route, end, **why),
            await acme.client.patch(f"{CONTACTS}/{by_patch['id']}", json={"contact_type": end, **why}),
        ]
        verdicts.append(
            [(a.status_code, {(e["field"], e["code"]) for e in a.json().get("errors", ())}) for a in answers]
        )
        rows.append(f"{by_file['id']},{end},{'They left' if reason else ''}")

    job = await imported(acme, "\n".join(rows).encode(), mode="update", match_key="id")

    errors: dict[int, set[tuple[str, str]]] = {}
    for error in job["errors"]:
        errors.setdefault(error["line"], set()).add((error["column"], error["code"]))
    for line, (case, (by_route, by_patch)) in enumerate(zip(asked, verdicts, strict=True), start=2):
        start, end, ready, reason = case
        expected = wanted(start, end, frozenset(READY) if ready else frozenset(), reason=reason)
        refused = 409 if ("contact_type", "stage-not-allowed") in expected else 422
        assert by_route == by_patch == (refused if expected else 200, expected), case
        assert errors.get(line, set()) == expected, case
    assert job["rows_failed"] == len(errors)
    assert {line["outcome"] for line in await report_of(acme, job)} == {"updated", "failed"}


async def report_of(tenant: Tenant, job: dict[str, Any]) -> list[dict[str, Any]]:
    return (await tenant.client.get(f"{IMPORTS}/{job['id']}/rows", params={"limit": 200})).json()["items"]


async def test_a_plug_is_submitted_with_all_that_it_takes_at_once_or_not_at_all(acme: Tenant) -> None:
    contact = await at(acme, "contact", "Ada")
    bare = await move(acme, contact, "plug", company=" ", job_title="CTO")
    missing = [(error["field"], error["code"]) for error in bare.json()["errors"]]
    unchanged = (await acme.client.get(f"{CONTACTS}/{contact['id']}")).json()

    submitted = await move(acme, contact, "plug", **READY, notes="Signed")
    again = await move(acme, contact, "plug")

    assert (bare.status_code, missing) == (
        422,
        [("email", "required"), ("company", "required"), ("business_type", "required"), ("network_type", "required")],
    )
    assert (unchanged["contact_type"], unchanged["job_title"]) == ("contact", None)
    assert submitted.status_code == 200
    assert {name: submitted.json()[name] for name in READY} == READY
    assert (submitted.json()["contact_type"], submitted.json()["notes"]) == ("plug", "Signed")
    assert (again.status_code, again.json()["code"]) == (409, "stage-not-allowed")


async def test_whoever_comes_new_at_a_later_stage_has_what_it_takes(acme: Tenant) -> None:
    refused = await acme.client.post(CONTACTS, json={"first_name": "Ada", "contact_type": "plug", "company": "Engines"})
    made = await acme.client.post(CONTACTS, json={"first_name": "Ada", "contact_type": "plug", **READY})

    fields = [error["field"] for error in refused.json()["errors"]]
    assert (refused.status_code, fields) == (422, ["email", "business_type", "network_type"])
    assert (made.status_code, made.json()["contact_type"]) == (201, "plug")


async def test_an_organization_sets_its_own_table(acme: Tenant, globex: Tenant) -> None:
    rules = {
        "transitions": [{"from_stage": "target", "to_stage": "plug"}],
        "plug_needs": [{"any_of": ["industry", "notes"]}],
    }
    twice = {"transitions": rules["transitions"] * 2}
    refused = await acme.client.put(SETTINGS, json={"settings": {"pipeline": twice}})
    changed = await acme.client.put(SETTINGS, json={"settings": {"pipeline": rules}})
    ours, theirs = await add(acme), await add(globex)

    assert (refused.status_code, changed.status_code) == (422, 200)
    assert [e["field"] for e in (await move(acme, ours, "plug")).json()["errors"]] == ["industry"]
    assert (await move(acme, ours, "plug", notes="Met")).status_code == 200
    assert (await move(acme, ours, "target", stage_reason="No")).json()["code"] == "stage-not-allowed"
    assert (await move(globex, theirs, "plug", **READY)).json()["code"] == "stage-not-allowed"
    asked = await acme.client.get("/api/v1/modules/networking")
    assert asked.json()["settings"]["pipeline"]["plug_needs"] == rules["plug_needs"]


def test_every_field_that_can_be_asked_for_can_be_missed() -> None:
    for field in StageField:
        rules = PipelineRules(contact_needs=(Requirement(any_of=(field,)),))
        errors = check_move(None, {"contact_type": "contact"}, None, rules)
        assert [error.field for error in errors] == [field]
        assert check_move(None, {"contact_type": "contact", field: "x"}, None, rules) == []


async def test_of_fifty_who_move_what_they_all_read_one_does(acme: Tenant) -> None:
    contact = await add(acme, email="ada@example.com")
    headers = {"if-match": (await acme.client.get(f"{CONTACTS}/{contact['id']}")).headers["etag"]}
    url, body = f"{CONTACTS}/{contact['id']}/stage", {"contact_type": "contact"}

    answers = await asyncio.gather(*(acme.client.post(url, json=body, headers=headers) for _ in range(50)))

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) == 1, statuses
    assert set(statuses) - {200} <= {409, 412}
    async with acme.database.system() as system:
        mine = {"id": acme.organization_id}
        stays = await system.execute(
            text(
                "SELECT stage, to_stage FROM networking.contact_stages WHERE organization_id = :id ORDER BY entered_at"
            ),
            mine,
        )
        told_of = await system.execute(
            text(
                "SELECT payload FROM core.domain_events "
                "WHERE organization_id = :id AND type = 'networking.contact_stage_changed'"
            ),
            mine,
        )
        assert [tuple(stay) for stay in stays] == [("target", "contact"), ("contact", None)]
        assert [payload for (payload,) in told_of] == [
            {"contact_id": contact["id"], "from_stage": "target", "to_stage": "contact", "is_step_back": False}
        ]


@pytest.mark.parametrize("batch", [1, 500])
async def test_rows_of_one_file_take_a_contact_step_by_step_as_the_dry_run_says(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(taking, "BATCH_ROWS", batch)
    stored = await add(acme, first_name="Stored", email="stored@example.com")
    content = (
        b"First Name,E-mail,Stage,Company,Business Type,Network Type,Stage Reason\n"
        b"New,new@example.com,target,,,,\n"  # 2: comes new
        b",new@example.com,plug,Engines,startup,referral,\n"  # 3: skips
        b",new@example.com,contact,,,,\n"  # 4
        b",new@example.com,plug,Engines,,,\n"  # 5: lacks two
        b",new@example.com,,Engines,startup,referral,\n"  # 6
        b",new@example.com,plug,,,,\n"  # 7
        b",stored@example.com,contact,,,,\n"  # 8
        b",stored@example.com,target,,,,\n"  # 9: back without a reason
        b",stored@example.com,target,,,,Left the company\n"  # 10
        b"Late,,plug,,,,\n"  # 11: comes new, and with nothing
    )

    dry = await imported(acme, content, mode="upsert", dry_run="true")
    assert [contact["id"] for contact in await contacts(acme)] == [stored["id"]]
    real = await imported(acme, content, mode="upsert")

    for job in (dry, real):
        lines = [(row["line"], row["outcome"], row["code"]) for row in await report_of(acme, job)]
        assert lines == [
            (2, "created", None),
            (3, "failed", "stage-not-allowed"),
            (4, "updated", None),
            (5, "failed", "invalid"),
            (6, "updated", None),
            (7, "updated", None),
            (8, "updated", None),
            (9, "failed", "invalid"),
            (10, "updated", None),
            (11, "failed", "invalid"),
        ]
        assert {(error["line"], error["column"], error["code"]) for error in job["errors"]} == {
            (3, "Stage", "stage-not-allowed"),
            (5, "Business Type", "required"),
            (5, "Network Type", "required"),
            (9, "Stage Reason", "required"),
            (11, "E-mail", "required"),
            (11, "Company", "required"),
            (11, "Business Type", "required"),
            (11, "Network Type", "required"),
        }
        assert all(error["reason"] for error in job["errors"])
    stages = {contact["first_name"]: contact["contact_type"] for contact in await contacts(acme)}
    assert stages == {"New": "plug", "Stored": "target"}


async def test_what_somebody_moves_while_an_import_runs_counts(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "BATCH_ROWS", 1)
    contact = await add(acme, email="ada@example.com")
    take, done = taking.take, []

    async def meddled(*given: Any, **options: Any) -> None:
        if len(done) == 1:
            assert (await move(acme, contact, "target", stage_reason="Meanwhile")).status_code == 200
        await take(*given, **options)
        done.append(1)

    monkeypatch.setattr(taking, "take", meddled)
    job = await upload(
        acme,
        b"email,contact_type,company,business_type,network_type\nada@example.com,contact,,,\n"
        b"ada@example.com,plug,Engines,startup,referral\n",
        mode="update",
    )
    await acme.run_jobs()

    after = await told(acme, job)
    assert (after["rows_updated"], after["rows_failed"], len(done)) == (1, 1, 2)
    assert after["errors"][0]["code"] == "stage-not-allowed"


async def test_a_stage_asks_for_fields_of_ones_own_by_the_api_and_by_file_alike(acme: Tenant) -> None:
    fields = "/api/v1/networking/custom-fields"
    kinds = {"tier": "text", "seats": "number", "vetted": "boolean"}
    made = [
        (await acme.client.post(fields, json={"key": key, "label": key, "kind": kind})).json()
        for key, kind in kinds.items()
    ]
    needs = [{"any_of": ["custom.tier", "email"]}, {"any_of": ["custom.seats"]}, {"any_of": ["custom.vetted"]}]
    unknown = await acme.client.put(
        SETTINGS, json={"settings": {"pipeline": {"plug_needs": [*needs, {"any_of": ["email", "custom.nobody"]}]}}}
    )
    rules = await acme.client.put(SETTINGS, json={"settings": {"pipeline": {"contact_needs": needs}}})

    bare, ready = await add(acme, first_name="Bare"), {"tier": "Gold", "seats": 0, "vetted": False}
    lacking = await move(acme, bare, "contact", custom={"seats": 1})
    by_hand = await acme.client.post(CONTACTS, json={"first_name": "Hand", "contact_type": "contact", "custom": ready})
    moved = await move(acme, bare, "contact", custom=ready)
    lost = await acme.client.patch(f"{CONTACTS}/{bare['id']}", json={"custom": {"seats": None}})
    file = (
        b"first_name,contact_type,custom.tier,custom.seats,vetted\n"
        b"File,contact,Gold,0,no\nShort,contact,Gold,,yes\nNone,contact,,,\n"
    )
    dry, real = await imported(acme, file, dry_run="true"), await imported(acme, file)

    assert (unknown.status_code, rules.status_code) == (422, 200)
    assert [error["field"] for error in unknown.json()["errors"]] == ["pipeline.plug_needs.3.any_of.1"]
    assert [error["field"] for error in lacking.json()["errors"]] == ["custom.tier", "custom.vetted"]
    assert (by_hand.status_code, moved.status_code) == (201, 200)
    assert [error["field"] for error in lost.json()["errors"]] == ["custom.seats"]
    told_of = [[(error["line"], error["column"]) for error in job["errors"]] for job in (dry, real)]
    assert sorted(told_of[1]) == [(3, "custom.seats"), (4, "custom.seats"), (4, "custom.tier"), (4, "vetted")]
    assert sorted(told_of[0]) == sorted(told_of[1])
    gone = [await acme.client.delete(f"{fields}/{field['id']}") for field in made]
    gone += [await acme.client.patch(f"{fields}/{field['id']}", json={"archived": True}) for field in made]
    assert {(answer.status_code, answer.json()["code"]) for answer in gone} == {(409, "field-needed")}
    (await acme.client.put(SETTINGS, json={"settings": {}})).raise_for_status()
    assert (await acme.client.patch(f"{fields}/{made[0]['id']}", json={"archived": True})).status_code == 200
    archived = await acme.client.put(SETTINGS, json={"settings": {"pipeline": {"contact_needs": needs[:1]}}})
    assert archived.status_code == 422
