"""Who suits whom, and why. Pure: the same two always get the same reasons, and each cites what both have said."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

MOST_VALUES = 5
"""Values of one reason that earn points: somebody with fifty interests suits nobody the better for it."""

type Points = Annotated[int, Meta(ge=0, le=100)]
type Traits = Mapping[str, Sequence[str]]
"""What somebody says of themselves, or what is known of them, by field."""


class Weights(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points for each value that two have in common."""

    goal_offered: Points = 12
    """What one looks for and the other offers."""
    goal: Points = 8
    industry: Points = 6
    business_type: Points = 4
    interest: Points = 3
    job_title: Points = 3
    network_type: Points = 2
    similar_profile: Points = 5
    """For a profile that reads alike, where the organization has an embedder."""


class Reason(Struct, frozen=True, kw_only=True):
    """Points of a recommendation, and the values that earned them."""

    field: str
    """Whose values these are of the one that it is for."""
    other_field: str
    values: list[str]
    """As the one that it is for has them."""
    points: int
    text: str
    compared: list[str] = []
    """Of a likeness: the fields whose texts were compared."""
    likeness: float | None = None
    """0 to 1."""


class Rule(NamedTuple):
    field: str
    other_field: str
    weight: str
    """The name of its points in `Weights`."""
    text: str


MEMBER_RULES = (
    Rule("goals", "offers", "goal_offered", "They offer what you look for"),
    Rule("offers", "goals", "goal_offered", "They look for what you offer"),
    Rule("goals", "goals", "goal", "You have the same goals"),
    Rule("industry", "industry", "industry", "You work in the same industry"),
    Rule("interests", "interests", "interest", "You share interests"),
)
CONTACT_RULES = (
    Rule("industry", "industry", "industry", "Both work in the same industry"),
    Rule("business_type", "business_type", "business_type", "Both are in the same kind of business"),
    Rule("job_title", "job_title", "job_title", "Both have the same job"),
    Rule("network_type", "network_type", "network_type", "Both belong to the same kind of network"),
)


def fold(value: str) -> str:
    """The value however it is written: case and spaces make no difference."""
    return " ".join(value.lower().split())


def folded(values: Sequence[str]) -> dict[str, str]:
    """By what it is, each value as it was first written. What is blank says nothing."""
    found: dict[str, str] = {}
    for value in values:
        if key := fold(value):
            found.setdefault(key, value)
    return found


def reasons(one: Traits, other: Traits, rules: Sequence[Rule], weights: Weights) -> list[Reason]:
    """Why `other` is recommended to `one`, the weightiest first. A rule that weighs nothing gives none."""
    found: list[Reason] = []
    for rule in rules:
        theirs = folded(other.get(rule.other_field, ()))
        shared = [value for key, value in folded(one.get(rule.field, ())).items() if key in theirs]
        points = getattr(weights, rule.weight) * min(len(shared), MOST_VALUES)
        if points > 0:
            found.append(
                Reason(field=rule.field, other_field=rule.other_field, values=shared, points=points, text=rule.text)
            )
    return sorted(found, key=lambda reason: -reason.points)


def similar(likeness: float, compared: Sequence[str], weights: Weights, *, least: float) -> list[Reason]:
    """The reason that two profiles read alike, where they do."""
    if likeness < least or not weights.similar_profile:
        return []
    return [
        Reason(
            field="profile",
            other_field="profile",
            values=[],
            points=weights.similar_profile,
            text="Their profiles read alike",
            compared=list(compared),
            likeness=min(likeness, 1.0),
        )
    ]


def are_of_one_company(one: str | None, other: str | None) -> bool:
    """Where both are known."""
    return bool(fold(one or "")) and fold(one or "") == fold(other or "")
