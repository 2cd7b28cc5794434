"""Values that a type takes, made from what the type says, for calling routes and jobs that nobody has described.

Only what has to be given is given, and every id that leads somewhere. A value comes as JSON has it.
"""

from collections.abc import Callable
from typing import Annotated, Any, cast

import msgspec
from msgspec import inspect

TEXTS = (
    "Ada",
    "ada@example.com",
    "https://example.com/a",
    "2026-03-01",
    "2026-03-01T09:30:00Z",
    "09:30",
    "EUR",
    "1",
    "+44 20 7946 0018",
    "a" * 40,
)
"""Tried one after the other where a pattern says what a text has to be and nobody gave an example."""

type Refer = Callable[[str], Any]
"""What stands for the id in a field of this name; None where the field leads nowhere."""


class NoSample(Exception):
    """The type doesn't say enough; the message names the field."""


def sample(kind: Any, refer: Refer, *, field: str = "") -> Any:
    """A value of the type. Raises `NoSample`."""
    return _of(inspect.type_info(kind), refer, field, {})


def _of(info: inspect.Type, refer: Refer, field: str, hints: dict[str, Any]) -> Any:
    match info:
        case inspect.Metadata():
            return _of(info.type, refer, field, hints | (info.extra_json_schema or {}))
        case inspect.StructType():
            return _of_struct(info, refer)
        case inspect.UnionType():
            sides = [side for side in info.types if not isinstance(side, inspect.NoneType)]
            return _of(sides[0], refer, field, hints)
        case inspect.UUIDType():
            return refer(field) or "01900000-0000-7000-8000-000000000000"
        case inspect.StrType():
            return _of_text(info, field, hints)
        case inspect.EnumType():
            return next(iter(info.cls)).value
        case inspect.LiteralType():
            return info.values[0]
        case inspect.IntType() | inspect.FloatType():
            return _of_number(info, field)
        case inspect.ListType() | inspect.SetType() | inspect.VarTupleType() | inspect.FrozenSetType():
            return [_of(info.item_type, refer, field, {}) for _ in range(max(1, info.min_length or 0))]
        case _ if type(info) in PLAIN:
            return PLAIN[type(info)]
        case _:
            raise NoSample(f"no value is known for {field or 'it'}, which is {type(info).__name__}")


PLAIN: dict[type[inspect.Type], Any] = {
    inspect.NoneType: None,
    inspect.BoolType: True,
    inspect.DateTimeType: "2026-03-01T09:30:00Z",
    inspect.DateType: "2026-03-01",
    inspect.TimeType: "09:30:00",
    inspect.TimeDeltaType: "PT1H",
    inspect.DecimalType: "1.00",
    inspect.BytesType: "QQ==",
    inspect.DictType: {},
    inspect.AnyType: "Ada",
    inspect.RawType: {},
}


def _of_struct(info: inspect.StructType, refer: Refer) -> dict[str, Any]:
    tag = {} if info.tag_field is None else {info.tag_field: info.tag}
    return tag | {
        field.encode_name: _of(field.type, refer, field.name, {})
        for field in info.fields
        if field.required or _leads_somewhere(field.type, field.name, refer)
    }


def _leads_somewhere(info: inspect.Type, field: str, refer: Refer) -> bool:
    """Whether an optional field holds an id of something: what may be attacked is given."""
    match info:
        case inspect.Metadata():
            return _leads_somewhere(info.type, field, refer)
        case inspect.UnionType():
            return any(_leads_somewhere(side, field, refer) for side in info.types)
        case inspect.ListType():
            return _leads_somewhere(info.item_type, field, refer)
        case inspect.UUIDType():
            return refer(field) is not None
        case _:
            return False


def _of_text(info: inspect.StrType, field: str, hints: dict[str, Any]) -> str:
    meta = msgspec.Meta(pattern=info.pattern, min_length=info.min_length, max_length=info.max_length)
    examples = cast("list[str]", hints.get("examples", []))
    for text in (*examples, *TEXTS):
        try:
            return msgspec.convert(text, Annotated[str, meta])
        except msgspec.ValidationError:
            continue
    raise NoSample(f"no text is known that {field or 'it'} takes: give its type `examples`")


def _of_number(info: inspect.IntType | inspect.FloatType, field: str) -> float:
    """The number nearest to the low end of what is allowed; 1 where nothing is said."""
    step = info.multiple_of or (1 if isinstance(info, inspect.IntType) else 0.125)
    bounds = {"gt": info.gt, "ge": info.ge, "lt": info.lt, "le": info.le, "multiple_of": info.multiple_of}
    meta = msgspec.Meta(**cast("Any", bounds))
    floor = info.ge if info.ge is not None else info.gt if info.gt is not None else 0
    ceiling = info.le if info.le is not None else info.lt if info.lt is not None else 0
    first = -(-floor // step) * step
    kind = int if isinstance(info, inspect.IntType) else float
    for number in (1, step, first, first + step, ceiling, ceiling - step):
        try:
            return msgspec.convert(number, cast("Any", Annotated[kind, meta]))
        except msgspec.ValidationError:
            continue
    raise NoSample(f"no number is known that {field or 'it'} takes")
