"""Values of custom fields, judged by their definitions. Pure: every way by which a value can come in ends here."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, cast
from uuid import UUID

from msgspec import Struct

from core.sdk import FieldError, PlainInteger, PlainNumber, Url, field_errors
from modules.networking.field_schemas import Choices, FieldText
from modules.networking.keys import name_key
from modules.networking.values import FieldKind

type Values = Mapping[str, Any]

TYPES: Mapping[FieldKind, Any] = {
    FieldKind.TEXT: FieldText,
    FieldKind.NUMBER: PlainInteger | PlainNumber,
    FieldKind.BOOLEAN: bool,
    FieldKind.DATE: FieldText,
    FieldKind.SELECT: FieldText,
    FieldKind.MULTI_SELECT: Choices,
    FieldKind.URL: Url,
}
OF_CHOICE = frozenset({FieldKind.SELECT, FieldKind.MULTI_SELECT})
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,15})?\.[0-9]{1,15}")
TRUE = frozenset({"true", "yes", "1", "ja", "x"})
FALSE = frozenset({"false", "no", "0", "nein"})


class Field(Struct, frozen=True, kw_only=True):
    """A definition, as values are judged by it."""

    id: UUID
    key: str
    label: str
    label_key: str
    kind: FieldKind
    options: Sequence[str]
    archived_options: Sequence[str]
    required: bool
    archived: bool


class Judged(Struct, frozen=True, kw_only=True):
    values: dict[str, Any]
    """The whole of `custom`, once what was sent has been taken."""
    errors: list[FieldError]


def judged(fields: Mapping[str, Field], sent: Values, *, stored: Values) -> Judged:
    """Null takes a value away. What is sent as it stands is right, whatever became of its field since."""
    values, errors = dict(stored), list[FieldError]()
    for key, value in sent.items():
        field, before = fields.get(key), stored.get(key)
        if before is not None and type(before) is type(value) and before == value:
            continue
        if _is_nothing(field, value):
            values.pop(key, None)
            if field is not None and field.required and not field.archived and before is not None:
                errors.append(required_error(f"custom.{key}"))
        elif field is None:
            errors.append(_error(key, "unknown", "There is no such field"))
        elif field.archived:
            errors.append(_error(key, "archived", "The field is archived: it takes no new values"))
        else:
            values[key], wrong = typed(field, value, besides=_choices(before))
            errors += wrong
    return Judged(values=values, errors=errors)


def missing(fields: Mapping[str, Field], values: Values) -> list[str]:
    """Keys of what a new contact must have and has not."""
    return [key for key, field in fields.items() if field.required and not field.archived and key not in values]


def required_error(name: str) -> FieldError:
    return FieldError(field=name, code="required", message="This field is required")


def typed(field: Field, value: Any, *, besides: Collection[str] = ()) -> tuple[Any, list[FieldError]]:
    """The value as it is stored, and what is wrong with it. `besides` are options that may be chosen though archived.

    No error quotes the value: it may be personal.
    """
    if wrong := field_errors({field.key: value}, dict[str, TYPES[field.kind]]):
        return None, [_error(error.field, error.code, error.message) for error in wrong]
    match field.kind:
        case FieldKind.TEXT if not value.strip():
            return None, [_error(field.key, "blank", "Expected text that can be seen")]
        case FieldKind.DATE if not _is_day(value):
            return None, [_error(field.key, "format", "Expected a day, such as 2026-03-01")]
        case FieldKind.NUMBER:
            return (int(value) if value == int(value) else value), []
        case FieldKind.SELECT:
            chosen = _chosen(field, [value], besides)
            return (chosen[0], []) if chosen else (None, [_no_option(field)])
        case FieldKind.MULTI_SELECT:
            chosen = _chosen(field, value, besides)
            return (chosen, []) if chosen is not None else (None, [_no_option(field)])
        case _:
            return value, []


def read(field: Field, text: str) -> Any:
    """What a cell or a filter says, as the API would be sent it; what can't be read comes back as it is."""
    match field.kind:
        case FieldKind.NUMBER if WHOLE.fullmatch(text):
            return int(text)
        case FieldKind.NUMBER if DECIMAL.fullmatch(text):
            return float(text)
        case FieldKind.BOOLEAN if text.lower() in TRUE | FALSE:
            return text.lower() in TRUE
        case FieldKind.MULTI_SELECT:
            return [part.strip() for part in text.split(";") if part.strip()]
        case _:
            return text


def written(value: Any) -> Any:
    """A value as a file has it; `read` reads it again."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return cast("object", value)


def _is_nothing(field: Field | None, value: Any) -> bool:
    return value is None or (value == [] and field is not None and field.kind is FieldKind.MULTI_SELECT)


def _is_day(text: str) -> bool:
    if not DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _chosen(field: Field, names: Sequence[str], besides: Collection[str]) -> list[str] | None:
    """The options of these names, in the field's order and each once; None where one of them is no option."""
    open_to = [*field.options, *(option for option in field.archived_options if option in besides)]
    wanted = {name_key(name) for name in names}
    found = [option for option in open_to if name_key(option) in wanted]
    return found if len(found) == len(wanted) else None


def _choices(value: Any) -> Collection[str]:
    return cast("list[str]", value) if isinstance(value, list) else (str(value),)


def _no_option(field: Field) -> FieldError:
    return _error(field.key, "choice", f"Expected one of: {', '.join(field.options[:20])}")


def _error(key: str, code: str, message: str) -> FieldError:
    return FieldError(field=f"custom.{key}", code=code, message=message)
