"""Search in a large organization: every spelling is found, the best first, and by the indexes."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from filling import fill
from sqlalchemy import text

from core.app import Application
from core.permissions import Role
from core.testing.tenants import Tenant, make_member, make_tenant
from modules.networking.queries import FOUND_CONTACTS
from modules.networking.searching import search_values
from modules.networking.visibility import EVERYTHING

CONTACTS = "/api/v1/networking/contacts"
COUNT = 20_000
FILL = """
    INSERT INTO networking.contacts
        (organization_id, id, first_name, last_name, company, email, notes, contact_type, status, priority, created_at)
    SELECT $1, gen_random_uuid(), f[1 + n % 12], l[1 + n / 12 % 11] || n % 97, 'Company ' || n % 500,
           'person.' || n || '@mail.example', 'met at fair number ' || n % 2000, 'target', 'new_client', 'low',
           now() - n * interval '1 second'
    FROM generate_series(1, $2::int) AS n,
         string_to_array('Amara Ben Chiara Diego Elif Femi Grace Hana Ivan Jonas Kavya Lena', ' ') AS f,
         string_to_array('Adeyemi Bauer Costa Dubois Eriksen Fischer Garcia Haddad Jensen Khan Moreau', ' ') AS l
"""


@pytest.fixture(scope="module")
async def large(application: Application) -> AsyncGenerator[Tenant]:
    """An organization with many contacts, which no test changes but for adding some."""
    tenant = await make_tenant(application)
    await fill(tenant, FILL, COUNT)
    for values in (
        {"first_name": "Zuzanna", "last_name": "Wojciechowska", "company": "Tram Works"},
        {"first_name": "Piotr", "last_name": "Zuzanna", "company": "Ferry Works"},
        {"first_name": "Olu", "company": "Zuzanna and Sons"},
        {"first_name": "Bea", "notes": "Ask for Zuzanna: she knows the zeppelin people."},
        {"first_name": "Zuzanna"},
        {"first_name": "Anna Zuzanna"},
    ):
        (await tenant.client.post(CONTACTS, json=values)).raise_for_status()
    yield tenant


async def found(tenant: Tenant, q: str, **params: Any) -> list[str]:
    answer = await tenant.client.get(CONTACTS, params={"q": q, **params})
    assert answer.status_code == 200, answer.text
    return [f"{item['first_name']} {item['last_name'] or ''}".strip() for item in answer.json()["items"]]


async def test_the_best_come_first(large: Tenant) -> None:
    ranked = ["Zuzanna", "Piotr Zuzanna", "Zuzanna Wojciechowska", "Anna Zuzanna", "Olu", "Bea"]

    assert await found(large, "zuzanna") == ranked
    assert await found(large, "zuzanna", sort="relevance") == ranked[::-1]
    assert sorted(await found(large, "zuzanna", sort="first_name")) == sorted(ranked)


async def test_pages_of_a_search_hold_everybody_once(large: Tenant) -> None:
    whole = (await large.client.get(CONTACTS, params={"q": "garcia1", "limit": 200})).json()
    assert len(whole["items"]) == 200
    seen: list[str] = []
    cursor = None
    while len(seen) < 200:
        params = {"q": "garcia1", "limit": 40} | ({"cursor": cursor} if cursor else {})
        page = (await large.client.get(CONTACTS, params=params)).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert seen == [item["id"] for item in whole["items"]]
    assert len(set(seen)) == 200


@pytest.mark.parametrize(
    "typo",
    [
        "wojciechowsak",
        "wojcechowska",
        "wojciechovska",
        "woyciechowska",
        "zuzana wojciechovska",
        "wojciechowska zuzzanna",
        "WOJCIECHWSKA",
    ],
)
async def test_a_misspelt_name_is_found(large: Tenant, typo: str) -> None:
    assert (await found(large, typo))[0] == "Zuzanna Wojciechowska"


async def test_who_is_spelt_alike_is_shown_where_nobody_is_found_and_only_there(large: Tenant) -> None:
    assert await found(large, "wojciechowska") == ["Zuzanna Wojciechowska"]
    assert await found(large, "zeppelin") == ["Bea"]
    assert await found(large, "xqxqxq") == []


async def test_an_address_that_nobody_has_is_not_alike_to_those_of_its_domain(large: Tenant) -> None:
    assert await found(large, "olivia.quux@mail.example") == []
    assert await found(large, "quux@mail.example company") == []
    assert "Zuzanna" in await found(large, "zuzana@mail.example")


async def test_who_is_hidden_does_not_keep_the_alike_from_being_shown(large: Tenant) -> None:
    """Else an empty answer would tell that somebody has the very name."""
    owner, colleague = await make_member(large, Role.MEMBER), await make_member(large, Role.MEMBER)
    hidden = {"first_name": "Wojciechowski", "visibility": "owner"}
    contact = (await owner.client.post(CONTACTS, json=hidden)).json()

    shown = await found(colleague, "wojciechowski")
    await owner.client.delete(f"{CONTACTS}/{contact['id']}")

    assert shown == ["Zuzanna Wojciechowska"]
    assert await found(colleague, "wojciechowski") == shown
    assert await found(owner, "wojciechowski", is_deleted=True) == ["Wojciechowski"]


async def test_the_export_finds_whom_the_list_finds(large: Tenant) -> None:
    answer = await large.client.get(f"{CONTACTS}/export.csv", params={"q": "zuzanna"})

    assert len(answer.text.splitlines()) == 1 + 6
    assert "relevance" not in answer.text.splitlines()[0]


async def explained(large: Tenant, sql: str, *arguments: Any) -> str:
    """As the application's role runs it."""
    async with large.ctx().reads._pool.acquire(large.organization_id) as connection:
        rows = await connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) {sql}", *arguments)
    return "\n".join(row[0] for row in rows)


async def test_the_list_fetches_those_found_by_their_key(large: Tenant) -> None:
    read = FOUND_CONTACTS._compile("-relevance", ("q",), "start")
    values = {**search_values("zuzanna"), "fetch": 51, "viewer": [EVERYTHING]}

    plan = await explained(large, read.sql, *read.arguments(large.organization_id, values))

    assert "Function Scan on search_contacts" in plan
    assert "Index Scan using pk_contacts" in plan
    assert "Seq Scan on contacts" not in plan
    assert re.search(r"Function Scan on search_alike.*never executed", plan), "it costs nothing where somebody is found"


BODIES = "SELECT prosrc FROM pg_proc WHERE proname = :name AND pronamespace = 'networking'::regnamespace"


@pytest.mark.parametrize(
    ("function", "parameters", "call", "indexes"),
    [
        (
            "search_contacts",
            {"patterns": "text[]", "whole": "text", "words": "text"},
            "ARRAY['%wojcie%'], 'wojcie', '''wojcie'':*'",
            {"ix_contacts_search", "ix_contacts_words"},
        ),
        ("search_alike", {"words": "text[]"}, "ARRAY['wojciechovska']", {"ix_contacts_search"}),
    ],
)
async def test_the_functions_use_the_indexes(
    large: Tenant, function: str, parameters: dict[str, str], call: str, indexes: set[str]
) -> None:
    """Their statements, prepared for any value, as their owner runs them."""
    async with large.database.system() as system:
        body = str(await system.scalar(text(BODIES), {"name": function}))
        for number, name in enumerate(parameters, start=1):
            body = re.sub(rf"(?<![.\w]){name}\b", f"${number}", body)
        connection: Any = (await (await system.connection()).get_raw_connection()).driver_connection
        await connection.execute(f"SET LOCAL app.organization_id = '{large.organization_id}'")
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        await connection.execute(f"PREPARE asked({', '.join(parameters.values())}) AS {body}")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE asked({call})"))
        await connection.execute("DEALLOCATE asked")

    assert {name for name in indexes if f"Bitmap Index Scan on {name}" in plan} == indexes, plan
    assert "Seq Scan on contacts" not in plan
