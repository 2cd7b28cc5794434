"""Properties of the pure rules: whatever two people say of themselves, reasons are true, and scores add up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ids import new_id
from modules.networking.matching import (
    CONTACT_RULES,
    MEMBER_RULES,
    MOST_VALUES,
    Rule,
    Traits,
    Weights,
    are_of_one_company,
    fold,
    reasons,
)
from modules.networking.score_schemas import FieldRule, InteractionRule, RecencyRule, ScoreRulesIn
from modules.networking.scoring import Happened, score_of
from modules.networking.values import InteractionType

SAID = ["Energy", " energy", "ENERGY  grid", "Energy Grid", "", " "]
WORDS = st.sampled_from(SAID) | st.text("aAbB \t\u00a0\u0000İßΩ", max_size=6)
POINTS = st.integers(0, 100)
WEIGHTS = st.builds(Weights, **dict.fromkeys(Weights.__struct_fields__, POINTS))
RULES = pytest.mark.parametrize("rules", [MEMBER_RULES, CONTACT_RULES], ids=["members", "contacts"])
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


def traits(rules: tuple[Rule, ...]) -> st.SearchStrategy[Traits]:
    fields = {each for rule in rules for each in (rule.field, rule.other_field)}
    return st.fixed_dictionaries({}, optional={field: st.lists(WORDS, max_size=12) for field in sorted(fields)})


@RULES
@given(data=st.data(), weights=WEIGHTS)
def test_a_reason_cites_what_both_have_said_and_its_points_follow_from_that(
    rules: tuple[Rule, ...], data: st.DataObject, weights: Weights
) -> None:
    one, other = data.draw(traits(rules)), data.draw(traits(rules))

    found = reasons(one, other, rules, weights)

    assert found == reasons(one, other, rules, weights)
    weight_of = {(rule.field, rule.other_field): getattr(weights, rule.weight) for rule in rules}
    assert len({(reason.field, reason.other_field) for reason in found}) == len(found)
    for reason in found:
        theirs = {fold(value) for value in other[reason.other_field]}
        assert reason.values
        assert all(value in one[reason.field] for value in reason.values), "cited as it was written"
        assert {fold(value) for value in reason.values} <= theirs - {""}
        counted = min(len({fold(value) for value in reason.values}), MOST_VALUES)
        assert reason.points == weight_of[reason.field, reason.other_field] * counted > 0


@given(data=st.data(), weights=WEIGHTS)
def test_two_contacts_suit_each_other_equally(data: st.DataObject, weights: Weights) -> None:
    one, other = data.draw(traits(CONTACT_RULES)), data.draw(traits(CONTACT_RULES))

    there, back = (reasons(a, b, CONTACT_RULES, weights) for a, b in ((one, other), (other, one)))

    assert [(reason.field, reason.points) for reason in there] == [(reason.field, reason.points) for reason in back]


@given(one=st.none() | WORDS, other=st.none() | WORDS)
def test_one_company_is_one_however_it_is_written_and_none_is_none(one: str | None, other: str | None) -> None:
    same = are_of_one_company(one, other)

    assert same == are_of_one_company(other, one)
    assert same == (bool(fold(one or "")) and fold(one or "") == fold(other or ""))
    assert are_of_one_company(one, f"  {one or ''} ") == bool(fold(one or ""))


def scored() -> st.SearchStrategy[tuple[ScoreRulesIn, dict[str, Any], list[Happened], datetime]]:
    points = st.integers(-1000, 1000)
    rules = st.builds(
        ScoreRulesIn,
        fields=st.lists(
            st.builds(
                FieldRule,
                field=st.sampled_from(["status", "industry"]),
                points=points,
                values=st.lists(WORDS, max_size=3),
            ),
            max_size=5,
        ),
        interactions=st.lists(
            st.builds(
                InteractionRule,
                interaction_type=st.sampled_from(InteractionType),
                points=points,
                most=st.integers(1, 50),
            ),
            max_size=5,
        ),
        recency=st.lists(
            st.builds(
                RecencyRule, when=st.sampled_from(["within", "beyond"]), days=st.integers(1, 3650), points=points
            ),
            max_size=3,
        ),
        half_life_days=st.none() | st.integers(1, 3650),
        least=points,
        most=points,
    )
    fields = st.fixed_dictionaries({}, optional={name: st.none() | WORDS for name in ("status", "industry")})
    happened = st.builds(
        Happened, st.builds(new_id), st.sampled_from([each.value for each in InteractionType]), MOMENTS
    )
    return st.tuples(rules, fields, st.lists(happened, max_size=10), MOMENTS)


@given(given_=scored(), data=st.data())
def test_a_score_is_the_sum_of_its_lines_in_any_order_of_the_facts(given_: Any, data: st.DataObject) -> None:
    rules, fields, happened, as_of = given_

    score, lines = score_of(rules, fields, happened, as_of=as_of)

    assert score == sum(line.points for line in lines)
    assert score == min(max(score, rules.least), rules.most)
    assert (score, lines) == score_of(rules, fields, data.draw(st.permutations(happened)), as_of=as_of)


@given(points=st.integers(-1000, 1000), half_life=st.integers(1, 3650), at=MOMENTS, days=st.integers(0, 4000))
def test_time_never_makes_an_interaction_count_more(points: int, half_life: int, at: datetime, days: int) -> None:
    rule = InteractionRule(interaction_type=InteractionType.CALL, points=points)
    rules = ScoreRulesIn(interactions=[rule], half_life_days=half_life, least=-1000, most=1000)
    later = min(at + timedelta(days=days), datetime.max.replace(tzinfo=UTC)) if at.year < 9980 else at

    now, then = (score_of(rules, {}, [Happened(new_id(), "call", at)], as_of=moment)[0] for moment in (at, later))

    assert now == points
    assert abs(then) <= abs(now)
    assert then * now >= 0
