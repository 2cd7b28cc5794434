"""What a contact's score is, and why. Pure: the same facts, rules and moment always give the same lines."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from modules.networking.score_schemas import FieldRule, InteractionRule, RecencyRule, ScoreLine, ScoreRulesIn
from modules.networking.values import InteractionType

DAY = timedelta(days=1)
PERSONAL = frozenset({"job_title", "email", "phone", "linkedin_url"})
"""Fields whose values no reason repeats: a score is kept without asking whom it tells of."""
DEFAULT_RULES = ScoreRulesIn(
    fields=[
        FieldRule(field="status", values=["hot_lead"], points=20),
        FieldRule(field="status", values=["existing_client"], points=10),
        FieldRule(field="priority", values=["high"], points=10),
        FieldRule(field="email", points=5),
    ],
    interactions=[
        InteractionRule(interaction_type=InteractionType.MEETING, points=15, most=5),
        InteractionRule(interaction_type=InteractionType.EVENT, points=15, most=5),
        InteractionRule(interaction_type=InteractionType.CALL, points=8, most=5),
        InteractionRule(interaction_type=InteractionType.FOLLOW_UP, points=5, most=5),
        InteractionRule(interaction_type=InteractionType.EMAIL, points=3),
        InteractionRule(interaction_type=InteractionType.LINKEDIN, points=3),
    ],
    recency=[RecencyRule(when="beyond", days=180, points=-10)],
)
"""What an organization has as long as it has set none."""


class Happened(NamedTuple):
    """An interaction that took place."""

    id: UUID
    interaction_type: str
    at: datetime


def score_of(
    rules: ScoreRulesIn, fields: Mapping[str, Any], happened: Iterable[Happened], *, as_of: datetime
) -> tuple[int, list[ScoreLine]]:
    """The score and its lines, which add up to it. What happens after `as_of` is not known yet.

    Ages are whole days, so a score doesn't change within a day by itself. Of two interactions at one moment, the one
    with the greater id is the later.
    """
    past = sorted((each for each in happened if each.at <= as_of), key=lambda each: (each.at, each.id), reverse=True)
    lines = [line for line in _all_lines(rules, fields, past, as_of) if line.points]
    total = sum(line.points for line in lines)
    score = min(max(total, rules.least), rules.most)
    if score != total:
        lines.append(ScoreLine(points=score - total, reason=f"held between {rules.least} and {rules.most}"))
    return score, lines


def _all_lines(
    rules: ScoreRulesIn, fields: Mapping[str, Any], past: list[Happened], as_of: datetime
) -> Iterator[ScoreLine]:
    for rule in rules.fields:
        yield from _field_line(rule, fields.get(rule.field))
    by_type: defaultdict[str, list[Happened]] = defaultdict(list)
    for each in past:
        by_type[each.interaction_type].append(each)
    for rule in rules.interactions:
        for each in by_type[rule.interaction_type][: rule.most]:
            age = (as_of - each.at) // DAY
            points = round(rule.points * 0.5 ** (age / rules.half_life_days)) if rules.half_life_days else rule.points
            reason = f"{each.interaction_type.replace('_', ' ')}, {_ago(age)}"
            yield ScoreLine(points=points, reason=reason, interaction_id=each.id)
    silence = (as_of - past[0].at) // DAY if past else None
    for rule in rules.recency:
        yield from _recency_line(rule, silence)


def _field_line(rule: FieldRule, value: str | None) -> Iterator[ScoreLine]:
    if not value:
        return
    wanted = {each.strip().casefold() for each in rule.values}
    if not wanted:
        yield ScoreLine(points=rule.points, reason=f"{rule.field} is known")
    elif value.strip().casefold() in wanted:
        said = "one of those wanted" if rule.field in PERSONAL else value
        yield ScoreLine(points=rule.points, reason=f"{rule.field} is {said}")


def _recency_line(rule: RecencyRule, silence: int | None) -> Iterator[ScoreLine]:
    beyond = silence is None or silence > rule.days
    if beyond == (rule.when == "beyond"):
        last = "no interaction yet" if silence is None else f"last interaction {_ago(silence)}"
        yield ScoreLine(points=rule.points, reason=last)


def _ago(days: int) -> str:
    match days:
        case 0:
            return "today"
        case 1:
            return "1 day ago"
        case _:
            return f"{days} days ago"
