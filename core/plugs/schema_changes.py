"""Whether a JSON Schema still keeps what an earlier one promised: a pure comparison, sentence by sentence.

A reader of the earlier schema must understand what the later one writes, and the later one must understand what was
stored under the earlier. The one change that does both is a new field that may be missing. All else breaks somebody:
a field that was removed, renamed, retyped, narrowed or widened, one that became required or no longer is.
"""

from collections.abc import Mapping
from typing import Any, cast

type Schema = dict[str, Any]

NOTES = frozenset(
    "$schema $id $comment $defs title description default examples deprecated readOnly writeOnly x-version".split()
)
"""Keywords that are for people; whether they differ breaks nothing."""
FIELDS = frozenset(("properties", "required"))


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """What the new schema breaks of the old one, a sentence each that names the event and the field; empty if nothing.

    Both have the event's type as their title. Definitions may be renamed: what counts is what they say.
    """
    event = new.get("title") or old.get("title") or "the event"
    return [f"{event}: {change}" for change in _Comparison(old, new).changes(old, new, "")]


def without_notes(schema: Any) -> Any:
    """The schema with nothing but what a validator obeys, so that two can be compared. Definitions stay."""
    match schema:
        case dict():
            found = cast("dict[str, Any]", schema)
            kept = {key: value for key, value in found.items() if key == "$defs" or key not in NOTES}
            return {key: _without_notes_in(key, value) for key, value in kept.items()}
        case list():
            return [without_notes(item) for item in cast("list[Any]", schema)]
        case _:
            return schema


def _without_notes_in(key: str, value: Any) -> Any:
    """A field may be called `title`: only the keys of schemas are keywords, not the keys of these."""
    if key in {"properties", "$defs"}:
        return {name: without_notes(schema) for name, schema in value.items()}
    return sorted(value) if key == "required" else without_notes(value)


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old: Mapping[str, Schema] = old.get("$defs", {})
        self._new: Mapping[str, Schema] = new.get("$defs", {})
        self._open: set[tuple[str, str]] = set()
        """Pairs of definitions that are just being compared: met again inside themselves, they are no news."""

    def changes(self, old: Schema, new: Schema, place: str) -> list[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in self._open:
                return []
            self._open.add(pair)
        found = self._changes(_resolved(old, self._old), _resolved(new, self._new), place)
        self._open.discard(pair)
        return found

    def _changes(self, old: Schema, new: Schema, place: str) -> list[str]:
        nested = self._nested_changes(old, new, place)
        looked_at = NOTES | FIELDS | nested.keys()
        found = [change for inner in nested.values() for change in inner]
        if any(_plain(key, old.get(key)) != _plain(key, new.get(key)) for key in {*old, *new} - looked_at):
            return [_retyped(place, old, new)]
        return [*self._field_changes(old, new, place), *found]

    def _field_changes(self, old: Schema, new: Schema, place: str) -> list[str]:
        before: Mapping[str, Schema] = old.get("properties", {})
        after: Mapping[str, Schema] = new.get("properties", {})
        needed = set(new.get("required", ()))
        closed = old.get("additionalProperties") is False
        found: list[str] = []
        for name in [*before, *(name for name in after if name not in before)]:
            here = f"{place}.{name}" if place else name
            if name not in after:
                found.append(f"{here} was removed")
            elif name in before:
                found += self.changes(before[name], after[name], here)
                if (name in old.get("required", ())) != (name in needed):
                    found.append(f"{here} {'is required now' if name in needed else 'is no longer required'}")
            elif name in needed:
                found.append(f"{here} was added without a default, and what was stored before has no value for it")
            elif closed:
                found.append(f"{here} was added, and readers of the earlier version refuse fields they don't know")
        return found

    def _nested_changes(self, old: Schema, new: Schema, place: str) -> dict[str, list[str]]:
        """The changes inside lists, mappings and unions, by keyword; of those keywords that can be gone into."""
        found: dict[str, list[str]] = {}
        for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                found[key] = self.changes(old[key], new[key], f"{place}{mark}")
        if "anyOf" in old and "anyOf" in new:
            found["anyOf"] = self._alternative_changes(old, new, place)
        if len(places := old.get("prefixItems", [])) == len(new.get("prefixItems", [])):
            both = enumerate(zip(places, new.get("prefixItems", []), strict=True))
            found["prefixItems"] = [c for i, (one, other) in both for c in self.changes(one, other, f"{place}[{i}]")]
        return found

    def _alternative_changes(self, old: Schema, new: Schema, place: str) -> list[str]:
        """Each alternative must go on as one that fits it, in whatever order they stand. Of those that don't, the ones
        that kept their name, or are the only objects left, are told of in detail."""
        left: list[Schema] = list(new["anyOf"])
        unpaired: list[Schema] = []
        found: list[str] = []
        for one in old["anyOf"]:
            fitting = next((other for other in left if not self.changes(one, other, place)), None)
            if fitting is None:
                unpaired.append(one)
            else:
                left.remove(fitting)
        for one in unpaired:
            namesake = next((other for other in left if one.get("$ref", "") == other.get("$ref")), None)
            if namesake is None and len(unpaired) == len(left) == 1 and self._are_objects(one, left[0]):
                namesake = left[0]
            if namesake is None:
                return [_retyped(place, old, new)]
            left.remove(namesake)
            found += self.changes(one, namesake, place)
        return [_retyped(place, old, new)] if left else found

    def _are_objects(self, old: Schema, new: Schema) -> bool:
        return "properties" in _resolved(old, self._old) and "properties" in _resolved(new, self._new)


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """What a reference stands for, with what stands beside it."""
    while "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**definitions.get(schema["$ref"].rpartition("/")[2], {}), **beside}
    return schema


def _plain(key: str, value: Any) -> Any:
    """A keyword's value, so that two can be compared whatever the order in which they name things."""
    match key, value:
        case "enum", list():
            return sorted(map(repr, cast("list[Any]", value)))
        case "discriminator", {"propertyName": name, "mapping": mapping}:
            return name, sorted(mapping)
        case _:
            return without_notes(value)


def _retyped(place: str, old: Schema, new: Schema) -> str:
    return f"{place or 'it'} was {_told(old)} and is {_told(new)}"


def _told(schema: Schema) -> str:
    """A type in a few words: `integer (minimum 1)`, `string or null`."""
    if "anyOf" in schema:
        return " or ".join(_told(alternative) for alternative in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    name = str(schema.get("format") or schema.get("type") or "anything")
    limits = [f"{key} {schema[key]}" for key in sorted(schema.keys() - NOTES - FIELDS - {"type", "format"})]
    return f"{name} ({', '.join(limits)})" if limits else name
