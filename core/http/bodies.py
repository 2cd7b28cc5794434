"""Request bodies: decoded strictly, once, from bytes to Struct; a bad one is told of every field that is wrong.

Litestar decodes leniently ("5" passes for 5) and stops at the first error. Setting `StrictBody` as the data DTO of
our routes replaces both; handlers still say `data: ContactIn` and nothing else.
"""

from typing import Any, ClassVar

import msgspec
from litestar.dto import AbstractDTO
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition
from msgspec import Struct

from core.errors import FieldError, Invalid, Malformed

MAX_DEPTH = 64


class StrictBody(AbstractDTO[Struct]):
    """Decodes a JSON body into the Struct that the handler's `data` names."""

    model_type = Struct
    _types: ClassVar[dict[str, Any]] = {}

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        return field_definition.is_subclass_of(Struct)

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        cls._types[handler_id] = field_definition.annotation

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False

    def decode_bytes(self, value: bytes) -> Any:
        return decode_strictly(value, self._types[self.asgi_connection.route_handler.handler_id])

    def decode_builtins(self, value: dict[str, Any]) -> Any:
        """A multipart form; its fields are text and files, so numbers come as text."""
        return convert_strictly(value, self._types[self.asgi_connection.route_handler.handler_id], strict=False)


def decode_strictly[T](body: bytes, kind: type[T]) -> T:
    """Raises `Malformed` for what is not JSON, and `Invalid` with every bad field for what doesn't fit."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        return convert_strictly(msgspec.json.decode(body), kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed("The body is not valid JSON") from error


def convert_strictly[T](value: Any, kind: type[T], *, strict: bool = True) -> T:
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise Invalid(errors=field_errors(value, kind, strict=strict) or [_error("", error)]) from error


def field_errors(value: Any, kind: Any, *, strict: bool = True) -> list[FieldError]:
    """All errors of an object's fields: the decoder stops at the first, so each field is tried by itself."""
    if not isinstance(value, dict):
        return [FieldError(field="", code="type", message="Expected an object")]
    found: list[FieldError] = []
    fields = msgspec.structs.fields(kind)
    known = {field.encode_name for field in fields}
    for field in fields:
        name = field.encode_name
        if name not in value:
            if field.required:
                found.append(FieldError(field=name, code="required", message="This field is required"))
            continue
        try:
            msgspec.convert(value[name], field.type, strict=strict)  # pyright: ignore[reportUnknownArgumentType]
        except msgspec.ValidationError as error:
            found.append(_error(name, error))
    found += [
        FieldError(field=str(name), code="unknown", message="There is no such field")  # pyright: ignore[reportUnknownArgumentType]
        for name in value  # pyright: ignore[reportUnknownVariableType]
        if name not in known
    ]
    return found


def _error(name: str, error: msgspec.ValidationError) -> FieldError:
    """msgspec says "Expected `int` - at `$.a[0]`"; the path becomes part of ours."""
    message, _, path = str(error).partition(" - at `$")
    inner = path.rstrip("`").replace("[", ".").replace("]", "")
    code = "type" if message.startswith("Expected") and "got" in message else "value"
    return FieldError(field=f"{name}{inner}".strip("."), code=code, message=message.replace("`", ""))
