"""Bodies that can't be read or don't fit: every route refuses them alike, names every bad field, and stores nothing."""

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from asking import Known, codes_of, in_pieces, operations, problem_of, rows_stored, valid_body

from core.app import Application
from core.testing.tenants import Tenant
from modules.networking.schemas import ContactIn, ContactPatch, InteractionIn, InteractionPatch

JSON = {"content-type": "application/json"}
DEEP = 100_000
MEGABYTE = 1_048_576

UNREADABLE = {
    "empty": b"",
    "cut off": b'{"first_name": "Ada"',
    "not JSON": b"first_name=Ada",
    "single quotes": b"{'first_name': 'Ada'}",
    "two values": b"{} {}",
    "not a number": b'{"metadata": {"n": NaN}}',
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep lists, never closed": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep in an unknown field": b'{"zzz": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "wrong type, then not JSON": b'{"zzz": 5, !',
    "invalid UTF-8": b'{"first_name": "\xff\xfe"}',
    "invalid UTF-8 in a name": b'{"\xff": 1}',
    "UTF-16": '{"first_name": "Ada"}'.encode("utf-16"),
    "byte order mark": '{"first_name": "Ada"}'.encode("utf-8-sig"),
    "lone surrogate": b'{"first_name": "\\ud800"}',
    "surrogates in the wrong order": b'{"email": "\\udc00\\ud800"}',
    "raw control character": b'{"first_name": "a\nb"}',
}
MISFITS = {
    "list": b"[]",
    "text": b'"Ada"',
    "number": b"5",
    "null": b"null",
    "true": b"true",
    "number too large for a float": b'{"zzz": 1e999}',
    "number of 5,000 digits": b'{"zzz": ' + b"9" * 5000 + b"}",
}
CONTENT_TYPES = {
    "none": {},
    "text": {"content-type": "text/plain"},
    "form": {"content-type": "application/x-www-form-urlencoded"},
    "multipart": {"content-type": "multipart/form-data; boundary=x"},
    "JSON's neighbour": {"content-type": "application/jsonp"},
    "nonsense": {"content-type": ";;="},
}


async def answers_everywhere(
    application: Application, known: Known, body: bytes, headers: dict[str, str] = JSON
) -> set[tuple[int, str]]:
    """Send one body to every route that takes JSON; returns statuses and codes of the problems."""
    asked = [operation for operation in operations(application) if operation.takes_json]
    assert len(asked) >= 6
    found: set[tuple[int, str]] = set()
    for operation in asked:
        answer = await known.client.request(operation.method, operation.path(known.ids), content=body, headers=headers)
        code = answer.json()["code"]
        problem_of(answer, answer.status_code, code)
        found.add((answer.status_code, code))
    return found


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_body_that_is_no_json_is_malformed(application: Application, known: Known, body: bytes) -> None:
    assert await answers_everywhere(application, known, body) == {(400, "malformed")}


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("body", MISFITS.values(), ids=MISFITS.keys())
async def test_a_body_that_is_no_fitting_object_is_invalid(application: Application, known: Known, body: bytes) -> None:
    assert await answers_everywhere(application, known, body) == {(422, "invalid")}


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("headers", CONTENT_TYPES.values(), ids=CONTENT_TYPES.keys())
async def test_a_body_of_another_type_is_unsupported(
    application: Application, known: Known, headers: dict[str, str]
) -> None:
    assert await answers_everywhere(application, known, b'{"first_name": "Ada"}', headers) == {
        (415, "unsupported-media-type")
    }


@pytest.mark.usefixtures("nothing_stored")
async def test_a_body_of_ten_megabytes_is_too_large(application: Application, known: Known) -> None:
    body = b'{"first_name": "' + b"x" * (10 * MEGABYTE) + b'"}'
    assert await answers_everywhere(application, known, body) == {(413, "too-large")}


@pytest.mark.usefixtures("nothing_stored")
async def test_a_body_of_unknown_length_is_read_up_to_the_limit_alone(application: Application, known: Known) -> None:
    for operation in operations(application):
        if not operation.takes_json:
            continue
        pieces: list[int] = []

        async def body(taken: list[int] = pieces) -> AsyncIterator[bytes]:
            for piece in in_pieces(10 * MEGABYTE, taken, first=b'{"first_name": "'):
                yield piece

        answer = await known.client.request(operation.method, operation.path(known.ids), content=body(), headers=JSON)

        assert "content-length" not in answer.request.headers
        problem_of(answer, 413, "too-large")
        assert sum(pieces) <= MEGABYTE + 2 * 65_536


async def every_body(
    application: Application, known: Known, bodies: Any
) -> list[tuple[type[msgspec.Struct], dict[str, Any]]]:
    """Send `bodies(struct, valid)`, unless it is None, to every route that takes JSON; returns structs and problems."""
    problems: list[tuple[type[msgspec.Struct], dict[str, Any]]] = []
    for operation in operations(application):
        if not operation.takes_json or operation.body is None:
            continue
        if (body := bodies(operation.body, valid_body(operation))) is None:
            continue
        answer = await known.client.request(operation.method, operation.path(known.ids), json=body)
        problems.append((operation.body, problem_of(answer, 422, "invalid")))
    assert problems
    return problems


def names_of(struct: type[msgspec.Struct], *, required: bool = False) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct) if field.required or not required}


@pytest.mark.usefixtures("nothing_stored")
async def test_every_field_that_is_missing_is_named(application: Application, known: Known) -> None:
    problems = await every_body(application, known, lambda struct, _: {} if names_of(struct, required=True) else None)

    for struct, problem in problems:
        assert codes_of(problem) == dict.fromkeys(names_of(struct, required=True), "required")


@pytest.mark.usefixtures("nothing_stored")
async def test_every_unknown_field_is_named(application: Application, known: Known) -> None:
    extra = {"id": "x", "organization_id": str(known.tenant.organization_id), "role": "owner", "Email": "a@example.com"}

    def with_unknown(struct: type[msgspec.Struct], valid: dict[str, Any]) -> dict[str, Any]:
        return valid | {name: value for name, value in extra.items() if name not in names_of(struct)}

    for struct, problem in await every_body(application, known, with_unknown):
        assert codes_of(problem) == dict.fromkeys(extra.keys() - names_of(struct), "unknown")


def takes(field: Any, value: object) -> bool:
    try:
        msgspec.convert(value, field.type)
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("wrong", [5, 1.5, True, [["text"]]], ids=str)
async def test_every_field_of_a_wrong_type_is_named(application: Application, known: Known, wrong: object) -> None:
    def wrongly_typed(struct: type[msgspec.Struct], _: dict[str, Any]) -> dict[str, Any] | None:
        """None for a struct that takes the value in every field."""
        fields = msgspec.structs.fields(struct)
        return None if all(takes(field, wrong) for field in fields) else dict.fromkeys(names_of(struct), wrong)

    for struct, problem in await every_body(application, known, wrongly_typed):
        misfits = {field.encode_name for field in msgspec.structs.fields(struct) if not takes(field, wrong)}
        codes = codes_of(problem)
        assert {name.partition(".")[0] for name in codes} == misfits
        assert set(codes.values()) <= {"type", "range"}, "5 is a number, even where it is too much of one"


@pytest.mark.usefixtures("nothing_stored")
async def test_a_nul_is_refused_in_every_field(application: Application, known: Known) -> None:
    problems = await every_body(application, known, lambda struct, _: dict.fromkeys(names_of(struct), "a\0b"))

    for struct, problem in problems:
        codes = codes_of(problem)
        assert set(codes) == names_of(struct)
        assert set(codes.values()) <= {"format", "choice", "type", "length"}


METADATA: dict[str, tuple[object, dict[str, str]]] = {
    "NUL in a value": ({"a": "x\0"}, {"metadata.a": "format"}),
    "NUL in a name": ({"a\0": "x"}, {"metadata.a\0": "format"}),
    "nested objects": ({"a": {"b": 1}, "c": [1]}, {"metadata.a": "type", "metadata.c": "type"}),
    "an integer that others would round": ({"a": 2**53}, {"metadata.a": "range"}),
    "an integer of 31 digits": ({"a": 10**30}, {"metadata.a": "range"}),
    "a float that comes back as an integer": ({"a": 1e300}, {"metadata.a": "range"}),
    "too long a text": ({"a": "x" * 10_001}, {"metadata.a": "length"}),
    "too long a name": ({"x" * 101: 1}, {"metadata." + "x" * 100: "length"}),
    "an empty name": ({"": 1}, {"metadata.": "length"}),
    "too many": ({str(n): n for n in range(101)}, {"metadata": "length"}),
    "bad ones among good ones": (
        {"a": 1, "b": [1], "c": "x", "d": "\0", "e": None},
        {"metadata.b": "type", "metadata.d": "format"},
    ),
}


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(("metadata", "codes"), METADATA.values(), ids=METADATA.keys())
async def test_metadata_is_held_to_its_shape(
    application: Application, known: Known, metadata: object, codes: dict[str, str]
) -> None:
    problems = await every_body(
        application,
        known,
        lambda struct, valid: valid | {"metadata": metadata} if "metadata" in names_of(struct) else None,
    )

    assert {ContactIn, ContactPatch, InteractionIn, InteractionPatch} <= {struct for struct, _ in problems}
    for _, problem in problems:
        assert codes_of(problem) == codes


async def test_what_metadata_may_hold_comes_back_as_it_was_sent(acme: Tenant) -> None:
    metadata = {
        "n": 2**53 - 1,
        "m": -(2**53) + 1,
        "f": 0.1,
        "small": 5e-324,
        "t": True,
        "o": None,
        "é😀": "line\nbreak",
    }
    created = await acme.client.post("/api/v1/networking/contacts", json={"first_name": "Ada", "metadata": metadata})

    read = await acme.client.get(f"/api/v1/networking/contacts/{created.json()['id']}")

    assert created.json()["metadata"] == read.json()["metadata"] == metadata


async def test_no_answer_grows_with_the_number_of_errors(acme: Tenant) -> None:
    body = {"x" * 1000 + str(n): n for n in range(500)}

    answer = await acme.client.post("/api/v1/networking/contacts", json=body)

    assert len(problem_of(answer, 422, "invalid")["errors"]) == 100
    assert len(answer.content) < 32_768


SAYINGS = [
    ("email", "nobody", "format", "Expected an e-mail address"),
    ("email", "ada@example.com\n", "format", "Expected an e-mail address"),
    ("linkedin_url", "javascript:alert(1)", "format", "Expected an http or https address"),
    ("linkedin_url", "http://user@[bad", "format", "Expected an http or https address"),
    ("phone", "call me", "format", "Expected a phone number"),
    ("first_name", "", "length", "Expected at least 1 character"),
    ("last_name", "x" * 201, "length", "Expected at most 200 characters"),
    ("first_name", 5, "type", "Expected text"),
    ("metadata", [], "type", "Expected an object"),
    ("priority", "urgent", "choice", "Expected one of: high, medium, low"),
]


@pytest.mark.parametrize(("field", "value", "code", "message"), SAYINGS)
async def test_an_error_says_what_was_expected(
    acme: Tenant, field: str, value: object, code: str, message: str
) -> None:
    answer = await acme.client.post("/api/v1/networking/contacts", json={"first_name": "Ada", field: value})

    assert problem_of(answer, 422)["errors"] == [{"field": field, "code": code, "message": message}]


MOMENTS = {
    "2026-03-01T09:30:00": "format",
    "yesterday": "format",
    "2026-02-30T00:00:00Z": "format",
    "0001-01-01T00:00:00+01:00": "range",
    "9999-12-31T23:59:59-01:00": "range",
    "0000-01-01T00:00:00Z": "format",
}


@pytest.mark.parametrize(("moment", "code"), MOMENTS.items())
async def test_a_moment_must_exist_in_every_time_zone(acme: Tenant, moment: str, code: str) -> None:
    contact = (await acme.client.post("/api/v1/networking/contacts", json={"first_name": "Ada"})).json()["id"]
    url = f"/api/v1/networking/contacts/{contact}/interactions"

    answer = await acme.client.post(url, json={"interaction_date": moment, "zzz": 1})

    assert codes_of(problem_of(answer, 422)) == {
        "interaction_date": code,
        "interaction_type": "required",
        "zzz": "unknown",
    }


async def test_a_moment_alone_that_can_not_be_is_refused(acme: Tenant) -> None:
    contact = (await acme.client.post("/api/v1/networking/contacts", json={"first_name": "Ada"})).json()["id"]
    url = f"/api/v1/networking/contacts/{contact}/interactions"
    before = await rows_stored(acme.database)

    answer = await acme.client.post(
        url, json={"interaction_type": "call", "interaction_date": "0001-01-01T00:00:00+01:00"}
    )

    assert codes_of(problem_of(answer, 422, "invalid")) == {"interaction_date": "range"}
    assert await rows_stored(acme.database) == before


async def test_the_outermost_moments_are_stored(acme: Tenant) -> None:
    contact = (await acme.client.post("/api/v1/networking/contacts", json={"first_name": "Ada"})).json()["id"]
    url = f"/api/v1/networking/contacts/{contact}/interactions"
    moments = ["0002-01-01T00:00:00Z", "9998-12-31T23:59:59.999999Z"]

    for moment in moments:
        answer = await acme.client.post(url, json={"interaction_type": "call", "interaction_date": moment})
        assert answer.status_code == 201, answer.text

    listed = await acme.client.get(url, params={"sort": "interaction_date"})
    assert [item["interaction_date"][:4] for item in listed.json()["items"]] == ["0002", "9998"]


async def test_json_may_be_said_in_any_of_its_names(acme: Tenant) -> None:
    for content_type in ("application/json", "APPLICATION/JSON; charset=utf-8", "application/merge-patch+json"):
        answer = await acme.client.post(
            "/api/v1/networking/contacts",
            content=json.dumps({"first_name": "Zoë"}),
            headers={"content-type": content_type},
        )
        assert answer.status_code == 201, answer.text
