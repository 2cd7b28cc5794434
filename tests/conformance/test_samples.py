"""Values that are made up for calling routes fit their types, whatever those demand."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from litestar.datastructures import UploadFile
from msgspec import UNSET, Meta, Struct, UnsetType

from core.app import Application
from core.http.routers import handlers_in
from core.sdk import Email, LongText, Moment, Phone, PlainInteger, PlainNumber, ShortText, Url
from core.testing.fillings import Id
from core.testing.samples import NoSample, sample

LINE = Id("shop.lines")


class Colour(StrEnum):
    RED = "red"


class Inner(Struct, tag="inner"):
    number: Annotated[int, Meta(ge=3, multiple_of=5)]


class Everything(Struct, kw_only=True):
    email: Email
    text: ShortText
    long: LongText
    url: Url
    phone: Phone
    moment: Moment
    day: date
    time: datetime | None
    integer: PlainInteger
    number: PlainNumber
    above: Annotated[int, Meta(gt=7)]
    below: Annotated[float, Meta(lt=0.5)]
    price: Decimal
    colour: Colour
    word: Literal["a", "b"]
    inner: Inner
    many: Annotated[list[Inner], Meta(min_length=2)]
    long_enough: Annotated[str, Meta(min_length=30)]
    three: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
    anything: dict[str, Any]
    optional: str | None = None
    left_out: str | UnsetType = UNSET


def nowhere(_field: str) -> None:
    return None


def test_a_sample_fits_its_type() -> None:
    made = sample(Everything, nowhere)

    assert msgspec.convert(made, Everything).left_out is UNSET
    assert "optional" not in made


def test_an_id_that_leads_somewhere_is_given_even_where_it_may_be_left_out() -> None:
    class Order(Struct):
        line_id: UUID | UnsetType | None = UNSET
        line_ids: list[UUID] = []
        other_id: UUID | None = None

    assert sample(Order, lambda field: LINE if field.startswith("line") else None) == {
        "line_id": LINE,
        "line_ids": [LINE],
    }


@pytest.mark.parametrize("kind", [UploadFile, Annotated[str, Meta(pattern=r"^never this$")], complex])
def test_what_no_value_is_known_for_is_named(kind: Any) -> None:
    holder = msgspec.defstruct("Holder", [("secret", kind)])

    with pytest.raises(NoSample, match="secret"):
        sample(holder, nowhere)


def test_every_body_of_our_own_routes_has_a_sample_but_those_with_files(application: Application) -> None:
    made: list[str] = []
    for route, handler in handlers_in(application.litestar.routes):
        parameters = handler.parsed_fn_signature.parameters
        kind = parameters["data"].annotation if "data" in parameters else None
        if kind is not None and "UploadFile" not in str(msgspec.inspect.type_info(kind)):
            msgspec.convert(sample(kind, nowhere), kind)
            made.append(route)

    assert len(made) > 20
