"""Request bodies: decoded strictly, once, from bytes to Struct; a bad one is told of every field that is wrong.

Litestar decodes leniently ("5" passes for 5) and stops at the first error. Setting `StrictBody` as the data DTO of
our routes replaces both; handlers still say `data: ContactIn` and nothing else.
"""

from typing import Any, cast

import msgspec
from litestar import Request
from litestar.dto import AbstractDTO
from litestar.enums import RequestEncodingType
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import Reference, Schema
from litestar.params import BodyKwarg
from litestar.typing import FieldDefinition
from msgspec import Struct

from core.errors import FieldError, Invalid, Malformed
from core.http.field_errors import all_representable, explain, field_errors

JSON = RequestEncodingType.JSON.value


class StrictBody(AbstractDTO[Struct]):
    """Decodes a JSON body into the Struct that the handler's `data` names."""

    model_type = Struct

    @classmethod
    def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
        return field_definition.is_subclass_of(Struct)

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
    ) -> None:
        """There is nothing to make: what a handler declares is what is decoded."""

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
        return decode_strictly(value, self._kind)

    def decode_builtins(self, value: dict[str, Any]) -> Any:
        """A multipart form; its fields are text and files, so numbers come as text."""
        return convert_strictly(value, self._kind, strict=False)

    @property
    def _kind(self) -> Any:
        handler = cast("HTTPRouteHandler", self.asgi_connection.route_handler)
        return handler.parsed_fn_signature.parameters["data"].annotation


async def prepare_body(request: Request[Any, Any, Any]) -> None:
    """Refuse a body of another type than the handler declares; take a form apart. A `before_request` hook.

    Litestar keeps the form for the handler; one without a boundary, or in no known character set, is malformed.
    """
    data = request.route_handler.parsed_fn_signature.parameters.get("data")
    if data is None:
        return
    declared = data.kwarg_definition
    wanted = RequestEncodingType(declared.media_type).value if isinstance(declared, BodyKwarg) else JSON
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != wanted and not (wanted == JSON and media_type.endswith("+json")):
        raise HTTPException(f"Send the body as {wanted}", status_code=415)
    if wanted != JSON:
        try:
            await request.form()
        except (UnicodeDecodeError, LookupError, ValidationException) as error:
            raise Malformed("The form can't be read") from error


def decode_strictly[T](body: bytes, kind: type[T]) -> T:
    """Raises `Malformed` for what is not JSON, and `Invalid` with every bad field for what doesn't fit."""
    try:
        decoded = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:  # it stopped at the first error, so what follows may not even be JSON
        return convert_strictly(_decode_anything(body), kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _malformed() from error
    return decoded if all_representable(decoded) else convert_strictly(_decode_anything(body), kind)


def convert_strictly[T](value: Any, kind: type[T], *, strict: bool = True) -> T:
    try:
        converted = msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        code, message = explain(str(error), kind)
        whole = [FieldError(field="", code=code, message=message)]
        raise Invalid(errors=field_errors(value, kind, strict=strict) or whole) from error
    if not all_representable(converted):
        raise Invalid(errors=field_errors(value, kind, strict=strict))
    return converted


def _decode_anything(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid("A number in the body is too large") from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _malformed() from error


def _malformed() -> Malformed:
    return Malformed("The body is not valid JSON")
