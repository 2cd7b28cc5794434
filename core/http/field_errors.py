"""What is wrong with a value, said to a person and to a program, for every field at once.

The decoder stops at its first error and speaks of regular expressions. Here each field is tried by itself, down into
nested objects, and each error gets one of these codes:

`required`, `unknown`, `type`, `format` (its `Meta(title=…)` says what was expected), `length`, `range`, `choice`,
`repeated` (a parameter given twice), and `value` for what no type can tell.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum
from itertools import islice
from types import NoneType, UnionType
from typing import Any, Literal, TypeAliasType, Union, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, UnsetType

from core.errors import FieldError

MAX_ERRORS = 100
"""Nobody mends more at a time, and a hostile body must not make a larger answer."""
NAME_LENGTH = 100
YEARS = range(2, 9999)
"""The years whose moments can be told in any time zone; at the edges of the calendar, going to UTC overflows."""
PLAIN = frozenset({NoneType, UnsetType, bool, int, float, str})
"""Most of what is sent: nothing to look into."""

WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a date and time",
    "uuid": "a UUID",
    "bytes": "base64",
    "UploadFile": "a file",
}
UNITS = {"str": "character", "array": "item", "object": "entry"}
WITH_OFFSET = "a date and time with an offset, such as 2026-03-01T09:30:00+01:00"
BOUND = re.compile(r"^Expected `(\w+)` (of length )?(>=|<=|==|<|>) (\S+)$")
KIND = re.compile(r"^Expected `([^`]+)`")
PHRASES = {">=": "at least", "<=": "at most", "==": "exactly", "<": "less than", ">": "more than"}


def field_errors(value: Any, kind: Any, *, strict: bool = True) -> list[FieldError]:
    """All errors of an object's fields, or the first hundred."""
    if not isinstance(value, dict):
        return [FieldError(field="", code="type", message="Expected an object")]
    return list(islice(_errors("", value, kind, strict=strict), MAX_ERRORS))


def value_errors(name: str, value: Any, kind: Any) -> list[FieldError]:
    """What is wrong with one value that should be a `kind`, under the name by which it was sent."""
    return list(islice(_errors(name, value, kind, strict=True), MAX_ERRORS))


def all_representable(value: Any) -> bool:
    """Whether each moment in a decoded value can be told in UTC, which no type can demand."""
    match value:
        case datetime():
            return value.year in YEARS
        case Struct():
            held: Iterable[Any] = msgspec.structs.astuple(value)
        case dict():
            held = cast("dict[str, Any]", value).values()
        case list():
            held = cast("list[Any]", value)
        case _:
            return True
    for each in held:  # noqa: SIM110 # a generator would cost as much as all else here
        if type(each) not in PLAIN and not all_representable(each):
            return False
    return True


def explain(message: str, kind: Any) -> tuple[str, str]:
    """The code and the words for one of msgspec's messages about a value that should have been a `kind`."""
    message = message.partition(" - at ")[0]
    if bound := BOUND.match(message):
        return _explain_bound(*bound.groups())
    if message.startswith("Invalid enum value"):
        return "choice", f"Expected one of: {', '.join(_choices(kind))}"
    if message.startswith("Expected") and "matching regex" in message:
        return "format", f"Expected {_title(message, kind)}"
    if "out of range" in message:
        return "range", "The number is too large"
    if message == "Invalid RFC3339 encoded date":
        return "format", "Expected a date, such as 2026-03-01"
    if "RFC3339" in message or "timezone" in message:
        return "format", f"Expected {WITH_OFFSET}"
    if message == "Invalid UUID":
        return "format", "Expected a UUID"
    if found := KIND.match(message):
        return "type", f"Expected {_names(found[1])}"
    return ("format" if message.startswith("Invalid") else "value"), message.replace("`", "")


def _errors(path: str, value: Any, kind: Any, *, strict: bool) -> Iterator[FieldError]:
    try:
        converted = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        inner = list(islice(_inner_errors(path, value, _plain(kind), strict=strict), MAX_ERRORS))
        code, message = explain(str(error), kind)
        yield from inner or [FieldError(field=path, code=code, message=message)]
    else:
        if isinstance(converted, datetime) and converted.year not in YEARS:
            yield FieldError(field=path, code="range", message=f"Expected a year from {YEARS[0]} to {YEARS[-1]}")
        elif isinstance(converted, Struct):
            yield from _inner_errors(path, value, _plain(kind), strict=strict)


def _inner_errors(path: str, value: Any, kind: Any, *, strict: bool) -> Iterator[FieldError]:
    """The errors of what an object or a list holds; none where it is not one, or is wrong as a whole."""
    origin = get_origin(kind) or kind
    if isinstance(value, dict) and isinstance(origin, type) and issubclass(origin, Struct):
        yield from _struct_errors(path, value, kind, strict=strict)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, dict) and origin is dict and get_args(kind):
        key_kind, value_kind = get_args(kind)
        for name, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            here = _join(path, str(name))  # pyright: ignore[reportUnknownArgumentType]
            yield from _errors(here, name, key_kind, strict=strict)
            yield from _errors(here, item, value_kind, strict=strict)
    elif isinstance(value, list) and origin is list and get_args(kind):
        for index, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield from _errors(_join(path, str(index)), item, get_args(kind)[0], strict=strict)


def _struct_errors(path: str, value: dict[str, Any], kind: Any, *, strict: bool) -> Iterator[FieldError]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, field in fields.items():
        here = _join(path, name)
        if name in value:
            yield from _errors(here, value[name], field.type, strict=strict)
        elif field.required:
            yield FieldError(field=here, code="required", message="This field is required")
    if (get_origin(kind) or kind).__struct_config__.forbid_unknown_fields:
        for name in value:
            if name not in fields:
                yield FieldError(field=_join(path, name), code="unknown", message="There is no such field")


def _join(path: str, name: str) -> str:
    name = name[:NAME_LENGTH]
    return f"{path}.{name}" if path else name


def _parts(kind: Any) -> Iterator[Any]:
    """The type and all that it is made of: what an alias stands for, what is annotated and how, sides of a union."""
    yield kind
    if isinstance(kind, TypeAliasType):
        yield from _parts(kind.__value__)
    elif metadata := getattr(kind, "__metadata__", None):
        yield from metadata
        yield from _parts(kind.__origin__)
    elif get_origin(kind) in {Union, UnionType}:
        for side in get_args(kind):
            yield from _parts(side)


def _plain(kind: Any) -> Any:
    """`Tags | None | UnsetType` as the one thing that a value must be; None where there is a choice of several."""
    found = [
        part
        for part in _parts(kind)
        if not isinstance(part, TypeAliasType | Meta)
        and not hasattr(part, "__metadata__")
        and get_origin(part) not in {Union, UnionType}
        and part not in {NoneType, UnsetType}
    ]
    return found[0] if len(found) == 1 else None


def _choices(kind: Any) -> list[str]:
    choices: list[str] = []
    for part in _parts(kind):
        if get_origin(part) is Literal:
            choices += map(str, get_args(part))
        elif isinstance(part, type) and issubclass(part, Enum):
            choices += [str(member.value) for member in part]
    return choices


def _title(message: str, kind: Any) -> str:
    """What the `Meta` (or the parameter) whose pattern is in the message says that it expects."""
    for part in _parts(kind):
        pattern, title = getattr(part, "pattern", None), getattr(part, "title", None)
        if isinstance(pattern, str) and isinstance(title, str) and repr(pattern) in message:
            return title
    return "another format"


def _explain_bound(kind: str, length: str | None, sign: str, number: str) -> tuple[str, str]:
    amount = f"{PHRASES[sign]} {number.removesuffix('.0')}"
    if length is None:
        return "range", f"Expected {amount}"
    unit = UNITS.get(kind, "item")
    plural = f"{unit.removesuffix('y')}ies" if unit.endswith("y") else f"{unit}s"
    return "length", f"Expected {amount} {unit if number == '1' else plural}"


def _names(kinds: str) -> str:
    """`int | null` in words. Whoever may send null or nothing knows it; what they sent instead should be something."""
    names = [WORDS.get(kind, kind) for kind in kinds.split(" | ") if kind != "null"]
    return " or ".join(names) or "null"
