"""Whom nothing excludes is recommended, and nobody else: in worlds that nobody thought of."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from sqlalchemy import delete, insert

from core import clock
from core.ids import new_id
from core.permissions import Role
from core.testing.tenants import Tenant, make_member
from modules.networking.connection_models import Connection
from modules.networking.matching_models import MatchFeedback, MatchingProfile

NETWORKING = "/api/v1/networking"
OTHERS, WORLDS = 5, 40
COMPANY, INTEREST = "Acme Ltd", "sailing"


class Other(Struct, frozen=True, kw_only=True):
    """Somebody, and what is between them and the one who asks."""

    is_open: bool
    shares: bool
    company: Literal[None, "Acme Ltd", "ACME  ltd", "Globex"]
    state: Literal["none", "pending", "connected", "declined", "removed"]
    is_fresh: bool
    """Whether that is not long ago."""
    asked_by_me: bool
    blocks_me: bool
    blocked_by_me: bool
    verdict: Literal[None, "useful", "dismissed"]

    def is_recommended(self, *, apart: bool) -> bool:
        is_between = self.state in {"pending", "connected"} or (self.state in {"declined", "removed"} and self.is_fresh)
        of_one_company = apart and (self.company or "").lower().split() == COMPANY.lower().split()
        excluded = is_between or self.blocks_me or self.blocked_by_me or self.verdict == "dismissed" or of_one_company
        return self.is_open and self.shares and not excluded


def drawn() -> list[list[Other]]:
    """The worlds that hypothesis thinks of; the same ones each time."""
    worlds: list[list[Other]] = []
    kinds = {field: st.booleans() for field in Other.__annotations__}
    kinds |= {
        "company": st.sampled_from([None, COMPANY, "ACME  ltd", "Globex"]),
        "state": st.sampled_from(["none", "none", "pending", "connected", "declined", "removed"]),
        "verdict": st.sampled_from([None, None, "useful", "dismissed"]),
        "is_open": st.sampled_from([True, True, True, False]),
        "shares": st.sampled_from([True, True, True, False]),
        "blocks_me": st.sampled_from([False, False, False, True]),
        "blocked_by_me": st.sampled_from([False, False, False, True]),
    }

    @settings(max_examples=WORLDS, database=None, derandomize=True, deadline=None)
    @given(st.lists(st.builds(Other, **kinds), min_size=OTHERS, max_size=OTHERS))
    def draw(world: list[Other]) -> None:
        worlds.append(world)

    draw()
    return worlds


def rows_of(acme: Tenant, person: Tenant, other: Other) -> list[tuple[Any, dict[str, Any]]]:
    first, second = sorted((acme.user_id, person.user_id))
    now = clock.now()
    mine, theirs = now if other.blocked_by_me else None, now if other.blocks_me else None
    own = {"organization_id": acme.organization_id}
    interests = [INTEREST] if other.shares else ["knitting"]
    profile = {"user_id": person.user_id, "is_open": other.is_open, "company": other.company, "interests": interests}
    connection = {
        "first_id": first,
        "second_id": second,
        "state": other.state,
        "requested_by": acme.user_id if other.asked_by_me else person.user_id,
        "answered_at": now if other.is_fresh else now - timedelta(days=3000),
        "first_blocked_at": mine if first == acme.user_id else theirs,
        "second_blocked_at": theirs if first == acme.user_id else mine,
    }
    feedback = {"about_id": acme.user_id, "other_id": person.user_id, "verdict": other.verdict}
    rows: list[tuple[Any, dict[str, Any]]] = [
        (MatchingProfile, own | profile | {"id": new_id(), "goals": [], "offers": [], "terms": interests}),
        (Connection, own | connection | {"id": new_id()}),
    ]
    return [*rows, (MatchFeedback, own | feedback | {"id": new_id()})] if other.verdict else rows


async def become(acme: Tenant, people: Sequence[Tenant], world: Sequence[Other]) -> None:
    async with acme.database.system() as system:
        for model in (MatchingProfile, Connection, MatchFeedback):
            kept = [MatchingProfile.user_id != acme.user_id] if model is MatchingProfile else []
            await system.execute(delete(model).where(model.organization_id == acme.organization_id, *kept))
        for person, other in zip(people, world, strict=True):
            for model, values in rows_of(acme, person, other):
                await system.execute(insert(model).values(**values))


async def test_exactly_whom_nothing_excludes_is_recommended(acme: Tenant) -> None:
    people = [await make_member(acme, Role.MEMBER) for _ in range(OTHERS)]
    own = {"is_open": True, "company": COMPANY, "interests": [INTEREST]}
    (await acme.client.put(f"{NETWORKING}/matching/profile", json=own)).raise_for_status()
    met = 0
    for apart in (False, True):
        change = {"settings": {"match_other_companies_only": apart}}
        (await acme.client.put("/api/v1/modules/networking/settings", json=change)).raise_for_status()
        for world in drawn():
            await become(acme, people, world)

            asked = [(await acme.client.get(f"{NETWORKING}/recommendations")).json()["items"] for _ in range(2)]

            expected = {
                str(person.user_id)
                for person, other in zip(people, world, strict=True)
                if other.is_recommended(apart=apart)
            }
            assert {item["id"] for item in asked[0]} == expected, (apart, world)
            assert asked[0] == asked[1], "the same question has the same answer"
            met += len(expected)
    assert met > WORLDS, "worlds in which nobody is recommended prove little"
