"""Duplicates in two tiers: who shares a key is refused, who is alike is shown, who was told apart stays so."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from filling import fill
from importing import CONTACTS, add, contacts
from sqlalchemy import text

from core.testing.tenants import Tenant
from modules.networking.keys import linkedin_key, phone_key
from modules.networking.services.similarity import score_of

MANY = """
    INSERT INTO networking.contacts
        (organization_id, id, first_name, last_name, contact_type, status, priority, created_at, updated_at)
    SELECT $1, gen_random_uuid(), substr(md5(n::text), 1, 9), substr(md5((-n)::text), 1, 9),
           'target', 'new_client', 'low', now(), now()
    FROM generate_series(1, 30000) AS n
"""
DUPLICATES = "/api/v1/networking/duplicates"
KEYS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"email": "ada@example.com"}, {"email": "ADA@example.com"}, "email"),
    ({"email": "a@x.example", "additional_emails": ["b@x.example"]}, {"email": "B@x.example"}, "email"),
    ({"email": "a@x.example"}, {"email": "b@x.example", "additional_emails": ["A@x.example"]}, "email"),
    ({"phone": "+44 20 7946 0018"}, {"phone": "+44 (0)20-7946-0018"}, "phone"),
    ({"phone": "+44 20 7946 0018"}, {"phone": "020 7946 0018"}, "phone"),
    (
        {"linkedin_url": "https://www.linkedin.com/in/ada"},
        {"linkedin_url": "http://uk.linkedin.com/in/ADA/?trk=1"},
        "linkedin_url",
    ),
]


async def duplicates(tenant: Tenant, contact: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await tenant.client.get(f"{CONTACTS}/{contact['id']}/duplicates")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def pairs(tenant: Tenant, **params: Any) -> list[tuple[str, str, int]]:
    items = (await tenant.client.get(DUPLICATES, params=params)).json()["items"]
    return [(item["first_id"], item["second_id"], item["score"]) for item in items]


async def scan(tenant: Tenant) -> None:
    assert (await tenant.client.post(f"{DUPLICATES}/scan")).status_code == 202
    await tenant.run_jobs()


@pytest.mark.parametrize(("there", "new", "field"), KEYS)
async def test_an_exact_duplicate_is_refused_with_the_one_it_is_of(
    acme: Tenant, there: dict[str, Any], new: dict[str, Any], field: str
) -> None:
    await acme.client.patch("/api/v1/organizations/current", json={"settings": {"country": "GB"}})
    known = await add(acme, **there)

    refused = await acme.client.post(CONTACTS, json={"first_name": "New"} | new)
    insisted = await acme.client.post(CONTACTS, json={"first_name": "New"} | new, params={"allow_duplicate": True})

    assert (refused.status_code, refused.json()["code"]) == (409, "duplicate-contact")
    assert refused.json()["conflicts_with"] == [known["id"]]
    assert [(error["field"], error["code"]) for error in refused.json()["errors"]] == [(field, "duplicate")]
    assert insisted.status_code == 201


async def test_another_organizations_contacts_are_nobodys_duplicates(acme: Tenant, globex: Tenant) -> None:
    await add(acme, email="ada@example.com")

    answer = await globex.client.post(CONTACTS, json={"first_name": "Ada", "email": "ada@example.com"})

    assert answer.status_code == 201


async def test_a_contact_in_the_trash_counts_and_is_told_as_such(acme: Tenant) -> None:
    known = await add(acme, email="ada@example.com")
    await acme.client.delete(f"{CONTACTS}/{known['id']}")

    refused = await acme.client.post(CONTACTS, json={"first_name": "Ada", "email": "ada@example.com"})

    assert (refused.status_code, refused.json()["conflicts_with"]) == (409, [known["id"]])
    assert refused.json()["errors"][0]["code"] == "in-trash"
    assert (await acme.client.post(f"{CONTACTS}/{known['id']}/restore")).status_code == 200


async def test_a_change_into_somebody_elses_address_is_refused_and_others_are_not(acme: Tenant) -> None:
    ada, bob = await add(acme, email="ada@example.com"), await add(acme, first_name="Bob", email="bob@example.com")
    url = f"{CONTACTS}/{bob['id']}"

    refused = await acme.client.patch(url, json={"email": "ada@example.com"})
    moved = await acme.client.patch(url, json={"email": "new@example.com", "additional_emails": ["bob@example.com"]})

    assert (refused.status_code, refused.json()["conflicts_with"]) == (409, [ada["id"]])
    assert (moved.status_code, moved.json()["email"]) == (200, "new@example.com")


async def test_of_many_who_add_the_same_person_at_once_one_does(acme: Tenant) -> None:
    body = {"first_name": "Ada", "email": "ada@example.com", "phone": "+442079460018"}

    answers = await asyncio.gather(*(acme.client.post(CONTACTS, json=body) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert len(await contacts(acme)) == 1


@pytest.mark.parametrize(
    ("phone", "country", "key"),
    [
        ("+44 (0)20 7946 0018", None, "+442079460018"),
        ("020 7946 0018", "GB", "+442079460018"),
        ("020 7946 0018", None, None),
        ("(202) 555-0143", "US", "+12025550143"),
        ("+1 202 555 0143 x 12", None, "+12025550143;ext=12"),
        ("12", "GB", None),
        ("+999 1234567", None, None),
        ("", "GB", None),
        ("0" * 40, "GB", None),
    ],
)
def test_a_number_is_one_number_however_it_is_written(phone: str, country: str | None, key: str | None) -> None:
    assert phone_key(phone, country) == key


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://www.linkedin.com/in/ada-okafor", "in/ada-okafor"),
        ("http://de.LinkedIn.com/in/Ada-Okafor/?trk=x#top", "in/ada-okafor"),
        ("https://linkedin.com/in/zo%C3%AB/details/experience", "in/zoë"),
        ("https://linkedin.com/company/acme", None),
        ("https://notlinkedin.com/in/ada", None),
        ("https://linkedin.com.evil.example/in/ada", None),
        ("https://[", None),
        (None, None),
    ],
)
def test_a_profile_is_one_profile_whatever_its_address(url: str | None, key: str | None) -> None:
    assert linkedin_key(url) == key


async def test_people_who_are_alike_are_shown_with_score_and_reasons(acme: Tenant) -> None:
    ada = await add(acme, first_name="Katherine", last_name="Johnson", company="Analytical Engines Ltd")
    near = await add(acme, first_name="Katharine", last_name="Johnson", company="Analytical Engines")
    same = await add(acme, first_name="Katherine", last_name="Johnson")
    await add(acme, first_name="Grace", last_name="Hopper", company="Analytical Engines Ltd")

    found = await duplicates(acme, ada)

    assert {(item["contact_id"], item["tier"]) for item in found} == {(near["id"], "fuzzy"), (same["id"], "fuzzy")}
    by_id = {item["contact_id"]: item for item in found}
    assert by_id[same["id"]]["reasons"] == ["same-name"]
    assert by_id[near["id"]]["reasons"] == ["similar-name", "similar-company"]
    assert [item["score"] for item in found] == sorted((item["score"] for item in found), reverse=True)
    assert await duplicates(acme, ada) == found, "the same contacts get the same scores"


def test_the_score_is_what_its_rule_says() -> None:
    assert score_of(1.0, 1.0) == (100, ["same-name", "same-company"])
    assert score_of(1.0, None) == (85, ["same-name"])
    assert score_of(0.5, 0.0) == (35, ["similar-name"])


async def test_a_scan_lists_each_pair_once_and_forgets_those_that_are_none_any_more(acme: Tenant) -> None:
    one = await add(acme, first_name="Katherine", last_name="Johnson", email="k@x.example")
    two = await add(acme, first_name="Katherine", last_name="Jonson")
    body = {"first_name": "K", "email": "k@x.example"}
    three = (await acme.client.post(CONTACTS, json=body, params={"allow_duplicate": True})).json()
    await scan(acme)
    await scan(acme)

    exact, fuzzy = await pairs(acme)
    assert exact == (one["id"], three["id"], 100)
    assert fuzzy[:2] == (one["id"], two["id"])
    await acme.client.patch(f"{CONTACTS}/{two['id']}", json={"first_name": "Rosalind", "last_name": "Franklin"})
    await acme.client.delete(f"{CONTACTS}/{three['id']}")
    assert await pairs(acme) == [fuzzy], "who is in the trash is in no pair"
    await scan(acme)
    assert await pairs(acme) == []


async def test_who_was_told_apart_is_not_shown_again_until_that_is_taken_back(acme: Tenant) -> None:
    one = await add(acme, first_name="Katherine", last_name="Johnson")
    two = await add(acme, first_name="Katherine", last_name="Johnson")
    url = f"{CONTACTS}/{two['id']}/not-duplicates/{one['id']}"
    await scan(acme)

    first, again = await acme.client.put(url), await acme.client.put(url)
    await scan(acme)

    assert first.status_code == again.status_code == 204
    assert await pairs(acme) == await duplicates(acme, one) == await duplicates(acme, two) == []
    assert [pair[:2] for pair in await pairs(acme, dismissed=True)] == [(one["id"], two["id"])]
    assert (await acme.client.delete(url)).status_code == 204
    await scan(acme)
    assert [pair[:2] for pair in await pairs(acme)] == [(one["id"], two["id"])]


async def test_only_two_contacts_can_be_told_apart(acme: Tenant) -> None:
    ada = await add(acme)

    itself = await acme.client.put(f"{CONTACTS}/{ada['id']}/not-duplicates/{ada['id']}")
    nobody = await acme.client.put(f"{CONTACTS}/{ada['id']}/not-duplicates/{uuid4()}")

    assert (itself.status_code, itself.json()["code"]) == (422, "same-contact")
    assert nobody.status_code == 404


async def test_a_typo_is_found_among_many_by_the_index(acme: Tenant) -> None:
    """The function's own query, as the system role runs it: it asks the trigrams, not every contact."""
    organization = acme.organization_id
    await fill(acme, MANY)
    async with acme.database.system() as system:
        plan = await system.scalars(
            text(
                "EXPLAIN SELECT id FROM networking.contacts AS o WHERE organization_id = :id "
                "AND 'katharine johnson' OPERATOR(core.<%) o.search_text AND NOT o.is_deleted "
                "AND networking.likeness('katharine johnson', lower(concat_ws(' ', first_name, last_name))) >= 0.5"
            ),
            {"id": organization},
        )
        assert "(search_text OPERATOR(core.%>) 'katharine johnson'::text)" in "\n".join(plan)
    one = await add(acme, first_name="Katherine", last_name="Johnson")
    two = await add(acme, first_name="Katharine", last_name="Johnson")

    assert [item["contact_id"] for item in await duplicates(acme, one)] == [two["id"]]
