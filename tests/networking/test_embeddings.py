"""Profiles that read alike, with an embedder that is another module's: with pgvector in the database, and without."""

import hashlib
import math
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from erasing import erase
from hypothesis import given
from hypothesis import strategies as st
from importing import CONTACTS, add
from sqlalchemy import text

from core.app import create_app
from core.plugs.discovery import Plug, Plugs, discover
from core.sdk import Module
from core.testing.stage import Addresses, cloned, runtime_on
from core.testing.tenants import Tenant, make_tenant, running
from modules.networking.actors import embed_contacts
from modules.networking.contract import Embedder
from modules.networking.embedding import PROFILE, BadVector, compared, likeness, profile_of, unit
from modules.networking.services import embeddings

DIMENSIONS = 64
BAKER = {"bio": "Bakes bread and rolls from rye in a small bakery", "industry": "Food"}
ALIKE = {"bio": "Bakes rolls and bread from rye in her small bakery", "industry": "Food"}
STRANGER = {"bio": "Bakes bread and rolls from rye in the small bakery", "industry": "Handicraft"}
SAILOR = {"bio": "Sails yachts across oceans", "industry": "Food"}


class WordHashes:
    """Counts a text's words, each in the place that its hash says."""

    def __init__(self) -> None:
        self.name = "word-hashes-1"
        self.dimensions = DIMENSIONS
        self.asked: list[str] = []
        self.breaks_at: int | None = None
        self.answers: list[list[float]] | None = None

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        if self.breaks_at is not None and len(self.asked) >= self.breaks_at:
            raise ConnectionError("the embedder is away")
        self.asked += texts
        return self.answers if self.answers is not None else [self.of(each) for each in texts]

    def of(self, words: str) -> list[float]:
        vector = [0.0] * self.dimensions
        for word in words.lower().split():
            vector[hashlib.sha256(word.encode()).digest()[0] % self.dimensions] += 1
        return vector


@pytest.fixture(scope="module")
async def site(addresses: Addresses) -> AsyncGenerator[Any]:
    """An application whose database is its own, with one more module that provides the embedder."""
    words = WordHashes()
    module = Module(name="wordhashes", title="Word hashes", provides={Embedder: lambda ctx: words})
    plug = Plug(module=module, package="tests", distribution="tests", version="1", directory=Path("/nowhere"))
    async with cloned(addresses, f"embeddings_{uuid4().hex[:12]}") as settings:
        runtime = runtime_on(settings, Plugs([*discover(), plug]))
        async with running(create_app(runtime)) as application:
            yield application, words, settings


@pytest.fixture(params=["without pgvector", "with pgvector"])
async def has_vectors(site: Any, request: pytest.FixtureRequest) -> AsyncGenerator[bool]:
    wanted = request.param == "with pgvector"
    connection = await asyncpg.connect(site[2].owner_url.replace("+asyncpg", ""))
    if wanted:
        await connection.execute('CREATE SCHEMA "odd one"; CREATE EXTENSION vector SCHEMA "odd one"')
        await connection.execute('GRANT USAGE ON SCHEMA "odd one" TO PUBLIC')
    yield wanted
    await connection.execute('DROP EXTENSION IF EXISTS vector; DROP SCHEMA IF EXISTS "odd one"')
    await connection.close()


@pytest.fixture
async def tenant(site: Any) -> Tenant:
    application, words, _ = site
    words.asked, words.breaks_at, words.answers, words.name = [], None, None, "word-hashes-1"
    return await make_tenant(application)


async def embed(tenant: Tenant) -> None:
    ctx = tenant.ctx()
    ctx.enqueue(embed_contacts)
    await ctx.commit()
    await ctx.close()
    await tenant.run_jobs()


async def recommended(tenant: Tenant, contact: dict[str, Any]) -> dict[str, dict[str, Any]]:
    answer = await tenant.client.get(f"{CONTACTS}/{contact['id']}/recommendations", params={"limit": 50})
    assert answer.status_code == 200, answer.text
    return {item["name"]: item for item in answer.json()["items"]}


async def stored(tenant: Tenant) -> dict[str, int]:
    """How many numbers are stored for each contact, by name."""
    async with tenant.database.system() as system:
        rows = await system.execute(
            text(
                "SELECT c.first_name, coalesce(cardinality(e.embedding), 0) AS numbers"
                " FROM networking.contact_embeddings AS e"
                " JOIN networking.contacts AS c ON (c.organization_id, c.id) = (e.organization_id, e.contact_id)"
                " WHERE e.organization_id = :id"
            ),
            {"id": tenant.organization_id},
        )
        return {row.first_name: row.numbers for row in rows}


async def test_profiles_that_read_alike_are_a_reason_that_cites_what_was_compared(
    tenant: Tenant, has_vectors: bool
) -> None:
    ada = await add(tenant, first_name="Ada", **BAKER)
    await add(tenant, first_name="Alike", **ALIKE)
    await add(tenant, first_name="Sailor", **SAILOR)
    await add(tenant, first_name="Stranger", **STRANGER)
    before = await recommended(tenant, ada)
    await embed(tenant)

    found = await recommended(tenant, ada)

    assert list(before) == ["Alike", "Sailor"], "without vectors, by what is equal alone"
    assert list(found) == ["Alike", "Sailor", *(["Stranger"] if has_vectors else [])]
    assert {name: item["score"] for name, item in found.items()} | {"Stranger": 5} == {
        "Alike": 11,
        "Sailor": 6,
        "Stranger": 5,
    }
    words = WordHashes()
    mine, theirs = [words.of(profile_of(dict.fromkeys(PROFILE) | values).text) for values in (BAKER, ALIKE)]
    cosine = sum(a * b for a, b in zip(mine, theirs, strict=True)) / math.hypot(*mine) / math.hypot(*theirs)
    reason = found["Alike"]["reasons"][1]
    assert (reason["field"], reason["compared"], reason["points"]) == ("profile", ["industry", "bio"], 5)
    assert reason["likeness"] == pytest.approx(cosine, abs=0.0002)
    assert await recommended(tenant, ada) == found, "the same question has the same answer"


async def test_nobody_who_is_excluded_comes_in_by_likeness(tenant: Tenant, has_vectors: bool) -> None:
    ada = await add(tenant, first_name="Ada", company="Acme", bio=BAKER["bio"])
    for name in ("Dismissed", "Gone", "Withdrawn", "Colleague", "Kept"):
        values = {"company": "ACME "} if name == "Colleague" else {}
        other = await add(tenant, first_name=name, bio=BAKER["bio"], **values)
        url = f"{CONTACTS}/{other['id']}"
        match name:
            case "Dismissed":
                verdict = f"{CONTACTS}/{ada['id']}/recommendations/{other['id']}/feedback"
                await tenant.client.put(verdict, json={"verdict": "dismissed"})
            case "Gone":
                await embed(tenant)
                await tenant.client.delete(url)
            case "Withdrawn":
                await embed(tenant)
                await tenant.client.patch(url, json={"marketing_consent": "withdrawn"})
            case _:
                pass
    settings = {"settings": {"match_other_companies_only": True}}
    (await tenant.client.put("/api/v1/modules/networking/settings", json=settings)).raise_for_status()
    await embed(tenant)

    assert list(await recommended(tenant, ada)) == (["Kept"] if has_vectors else [])
    settings = {"settings": {"match_weights": {"similar_profile": 0}}}
    (await tenant.client.put("/api/v1/modules/networking/settings", json=settings)).raise_for_status()
    assert list(await recommended(tenant, ada)) == []


async def test_an_embedder_is_asked_for_what_has_changed_and_for_nothing_else(site: Any, tenant: Tenant) -> None:
    words: WordHashes = site[1]
    ada, ben = await add(tenant, first_name="Ada", **BAKER), await add(tenant, first_name="Ben", notes="no profile")
    await add(tenant, first_name="Shy", bio="says no", marketing_consent="withdrawn")

    asked: list[int] = []
    for values in ({}, {}, {"notes": "called"}, {"bio": "Sails"}, {"bio": None, "industry": None}, {"bio": "Sails"}):
        words.asked.clear()
        if values:
            (await tenant.client.patch(f"{CONTACTS}/{ada['id']}", json=values)).raise_for_status()
        await embed(tenant)
        asked.append(len(words.asked))
    sizes = await stored(tenant)
    words.name, words.asked = "word-hashes-2", []
    await embed(tenant)
    renewed = list(words.asked)
    await tenant.client.patch(f"{CONTACTS}/{ben['id']}", json={"bio": "Rows"})
    await tenant.client.delete(f"{CONTACTS}/{ben['id']}")
    await embed(tenant)

    assert asked == [1, 0, 0, 1, 0, 1]
    assert sizes == {"Ada": DIMENSIONS, "Ben": 0}
    assert words.asked == renewed == ["Bio: Sails"]


async def test_a_run_that_dies_goes_on_and_a_bad_answer_stores_nothing(
    site: Any, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: WordHashes = site[1]
    monkeypatch.setattr(embeddings, "BATCH_CONTACTS", 2)
    for number in range(5):
        await add(tenant, first_name=f"C{number}", bio=f"Number {number}")
    bad: list[list[list[float]]] = [[], [[1.0]], [[math.nan] * DIMENSIONS] * 2, [[1.0] * DIMENSIONS] * 3]

    for words.answers in bad:
        await embed(tenant)
        assert await stored(tenant) == {}
    words.answers, words.asked, words.breaks_at = None, [], 4
    await tenant.make_jobs_due()
    await tenant.run_jobs()
    halfway = await stored(tenant)
    words.breaks_at = None
    await tenant.make_jobs_due()
    await tenant.run_jobs()

    assert halfway == {f"C{number}": DIMENSIONS for number in range(4)}
    assert await stored(tenant) == {f"C{number}": DIMENSIONS for number in range(5)}
    assert len(words.asked) == 5, "no text was asked for twice"


async def test_the_vector_of_an_erased_contact_goes(tenant: Tenant) -> None:
    ada, ben = await add(tenant, first_name="Ada", **BAKER), await add(tenant, first_name="Ben", **ALIKE)
    await embed(tenant)
    before = await stored(tenant)

    await erase(tenant, UUID(ada["id"]))
    await embed(tenant)

    assert before == {"Ada": DIMENSIONS, "Ben": DIMENSIONS}
    assert await stored(tenant) == {"Ben": DIMENSIONS}
    assert await recommended(tenant, ben) == {}


VECTORS = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=3, max_size=3)


@given(VECTORS, VECTORS)
def test_likeness_is_the_same_both_ways_and_never_more_than_one(one: list[float], other: list[float]) -> None:
    mine, theirs = unit(one, 3), unit(other, 3)

    assert (mine is None) == (not math.hypot(*one))
    if mine is not None and theirs is not None:
        assert likeness(mine, theirs) == likeness(theirs, mine)
        assert abs(likeness(mine, theirs)) <= 1 == likeness(mine, mine)


def test_what_can_not_be_compared_is_refused_and_what_is_compared_is_what_both_have() -> None:
    for vector in ([1.0], [math.inf, 0.0], [1.0, 2.0, 3.0]):
        with pytest.raises(BadVector):
            unit(vector, 2)
    assert compared(["industry", "bio"], ["job_title", "bio"]) == ["bio"]
    assert compared(["industry"], ["bio"]) == ["industry", "bio"]
