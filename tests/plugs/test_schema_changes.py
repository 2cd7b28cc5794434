"""What breaks a promise about an event, and what doesn't, told by field. Each case is two versions of one event."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec import Meta, Struct

from core.plugs.event_schemas import schema_of
from core.plugs.schema_changes import breaking_changes, without_notes
from core.sdk import Event


class Guest(Struct):
    name: str
    friends: "list[Guest]" = []


class GuestWithAge(Struct):
    name: str
    age: int | None = None
    friends: "list[GuestWithAge]" = []


class Stranger(Struct):
    friends: "list[Stranger]" = []


class Mood(StrEnum):
    GLAD = "glad"
    SAD = "sad"


class Feeling(StrEnum):
    GLAD = "glad"
    SAD = "sad"
    TORN = "torn"


class Cash(Struct, tag="cash"):
    amount: Decimal


class CashInHand(Struct, tag="cash"):
    amount: Decimal
    hand: str = "left"


class Card(Struct, tag="card"):
    number: str


class CardWithHolder(Struct, tag="card"):
    number: str
    holder: str


class CashToday(Struct, tag="cash"):
    amount: Decimal
    day: date


def event(*fields: Any, **options: Any) -> type[Event]:
    """A version of the event `fair.visited` with these fields: `(name, type)` or `(name, type, default)`."""
    options = {"frozen": True, "kw_only": True, **options}
    return msgspec.defstruct("Visited", fields, bases=(Event,), namespace={"type": "fair.visited"}, **options)


def changes(old: type[Event], new: type[Event]) -> list[str]:
    return breaking_changes(schema_of(old), schema_of(new))


TYPES = [
    str, int, float, bool, bytes, UUID, datetime, date, Decimal, Mood, Feeling, Guest, list[str], list[int],
    dict[str, int], dict[str, Guest], str | None, int | None, tuple[int, str], tuple[int, int], tuple[int, int, int],
    Literal["a", "b"], Literal["a"], Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=1)],
    Annotated[str, Meta(max_length=5)], Cash | Card, Cash | None, list[Guest | None], GuestWithAge | None,
]  # fmt: skip


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_nothing_breaks_where_nothing_changes(kind: Any) -> None:
    version = event(("value", kind))

    assert changes(version, version) == []


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_an_optional_field_may_be_added_whatever_its_type(kind: Any) -> None:
    assert changes(event(("at", int)), event(("at", int), ("value", kind | None, None))) == []


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_a_field_that_is_added_without_a_default_breaks(kind: Any) -> None:
    assert changes(event(("at", int)), event(("at", int), ("value", kind))) == [
        "fair.visited: value was added without a default, and what was stored before has no value for it"
    ]


@pytest.mark.parametrize("default", [(), (None,)], ids=["required", "optional"])
def test_a_field_that_is_removed_breaks(default: tuple[Any, ...]) -> None:
    assert changes(event(("at", int), ("value", str | None, *default)), event(("at", int))) == [
        "fair.visited: value was removed"
    ]


def test_a_field_that_is_renamed_is_one_less_and_one_more() -> None:
    assert changes(event(("guest", str)), event(("visitor", str))) == [
        "fair.visited: guest was removed",
        "fair.visited: visitor was added without a default, and what was stored before has no value for it",
    ]


def test_the_name_that_counts_is_the_one_that_is_written() -> None:
    old, new = event(("guest_id", str)), event(("guest_id", str), rename="camel")

    assert "fair.visited: guest_id was removed" in changes(old, new)


def test_a_field_that_becomes_required_breaks_and_so_does_one_that_no_longer_is() -> None:
    optional, required = event(("value", int, 0)), event(("value", int))

    assert changes(optional, required) == ["fair.visited: value is required now"]
    assert changes(required, optional) == ["fair.visited: value is no longer required"]


def plain(kind: Any) -> dict[str, Any]:
    schema = without_notes(schema_of(event(("value", kind))))
    return {"field": schema["properties"], "definitions": schema.get("$defs")}


def test_every_change_of_a_type_breaks_but_for_optional_fields_in_it() -> None:
    pairs = [(old, new) for old in TYPES for new in TYPES if plain(old) != plain(new)]
    unseen = [
        (old, new)
        for old, new in pairs
        if not any(
            change.startswith("fair.visited: value") for change in changes(event(("value", old)), event(("value", new)))
        )
    ]

    assert len(pairs) > 800
    assert unseen == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (str, int, "value was string and is integer"),
        (str, str | None, "value was string and is string or null"),
        (UUID, str, "value was uuid and is string"),
        (Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=1)], "value was integer (minimum 0) and is integer (min"),
        (list[str], list[int], "value[] was string and is integer"),
        (dict[str, str], dict[str, int], "value{} was string and is integer"),
        (tuple[int, str], tuple[int, int], "value[1] was string and is integer"),
        (Mood, Feeling, "value was anything (enum ['glad', 'sad']) and is anything (enum ['glad', 'sad', 'torn'])"),
        (Guest, Stranger, "value.name was removed"),
        (list[Guest], list[Stranger], "value[].name was removed"),
        (Guest | None, Stranger | None, "value.name was removed"),
        (Cash | Card, Cash | CardWithHolder, "value.holder was added without a default"),
        (Cash | Card, Cash, "value was Cash or Card and is"),
        (Cash | Card, CashToday | CardWithHolder, "value was Cash or Card and is CashToday or CardWithHolder"),
        (Cash, Cash | None, "value was object and is Cash or null"),
        (int | str, int | str | None, "value was integer or string and is integer or string or null"),
        (int | str | None, int | str, "value was integer or string or null and is integer or string"),
    ],
)
def test_the_sentence_says_where_and_what(old: Any, new: Any, says: str) -> None:
    found = "; ".join(changes(event(("value", old)), event(("value", new))))

    assert says in found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Guest, GuestWithAge),
        (list[Guest], list[GuestWithAge]),
        (dict[str, Guest], dict[str, GuestWithAge]),
        (Guest | None, GuestWithAge | None),
        (Cash | Card, CashInHand | Card),
        (Cash | Card, Card | CashInHand),
        (tuple[Guest, int], tuple[GuestWithAge, int]),
    ],
    ids=str,
)
def test_what_is_inside_a_field_may_gain_optional_fields_too_and_be_called_otherwise(old: Any, new: Any) -> None:
    assert changes(event(("value", old)), event(("value", new))) == []


def test_two_definitions_of_a_union_that_both_change_under_their_names_are_seen() -> None:
    def union(**more: Any) -> dict[str, Any]:
        definitions = {
            name: {"type": "object", "properties": {name: {"type": "string"}, **more}, "required": [name]}
            for name in ("One", "Two")
        }
        refs = [{"$ref": "#/$defs/One"}, {"$ref": "#/$defs/Two"}]
        return {"title": "fair.visited", "properties": {"value": {"anyOf": refs}}, "$defs": definitions}

    assert breaking_changes(union(gone={"type": "string"}), union()) == [
        "fair.visited: value.gone was removed",
        "fair.visited: value.gone was removed",
    ]


def test_words_and_defaults_break_nothing() -> None:
    old, new = schema_of(event(("value", int, 1))), schema_of(event(("value", int, 2)))
    new["properties"]["value"]["description"] = "How many"

    assert breaking_changes(old, new) == []


def test_a_field_may_be_called_like_a_keyword() -> None:
    names = ("title", "description", "default", "const", "required", "items", "properties", "anyOf")
    old, new = event(*((name, str) for name in names)), event(*((name, int) for name in names))

    assert changes(old, new) == [f"fair.visited: {name} was string and is integer" for name in names]


def test_readers_that_refuse_unknown_fields_can_not_be_told_more() -> None:
    closed, more = event(("at", int), forbid_unknown_fields=True), event(("at", int), ("value", int, 0))

    assert changes(closed, more)[0].startswith("fair.visited: it was object (additionalProperties False)")
    assert changes(closed, event(("at", int), ("value", int, 0), forbid_unknown_fields=True)) == [
        "fair.visited: value was added, and readers of the earlier version refuse fields they don't know"
    ]


FIELDS = some.dictionaries(
    some.sampled_from("abcdefgh"), some.tuples(some.sampled_from(TYPES), some.booleans()), max_size=6
)


def version_of(fields: dict[str, tuple[Any, bool]]) -> type[Event]:
    listed = [(name, kind | None, None) if optional else (name, kind) for name, (kind, optional) in fields.items()]
    return event(*listed)


@given(old=FIELDS, added=FIELDS)
def test_adding_optional_fields_never_breaks_and_taking_them_away_always_does(
    old: dict[str, tuple[Any, bool]], added: dict[str, tuple[Any, bool]]
) -> None:
    new = {**{name: (kind, True) for name, (kind, _) in added.items()}, **old}
    less, more = version_of(old), version_of(new)

    assert changes(less, more) == []
    assert sorted(changes(more, less)) == [f"fair.visited: {name} was removed" for name in sorted(set(new) - set(old))]
