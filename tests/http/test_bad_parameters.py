"""Query parameters, paths, methods and headers that don't fit, on every route that has them."""

import re
from typing import Any

import httpx
import pytest
from asking import (
    CONTACTS,
    Known,
    Operation,
    codes_of,
    document_of,
    existing_ids,
    filled,
    operations,
    problem_of,
    valid_body,
)
from litestar.routes import HTTPRoute

from core.app import Application
from core.db.pages import CursorSigner
from core.testing.tenants import Tenant

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "FOO")
UNKNOWN_PATHS = (
    "/nowhere",
    "/api",
    "/api/v1/networking",
    "/api/v1/networking/contacts/not-a-uuid",
    "/api/v1/networking/contacts/%00",
    "/api/v1/networking/contacts/..%2f..%2fhealth",
    "/api/v1/networking/contacts/%252e%252e",
    "/api/v1/networking/contacts/%ff%fe",
    "/api/v1/networking/imports/1",
    "/api/v2/networking/contacts",
    "/docs/static/nothing.js",
    "/docs/static/%00",
    "/docs/static/%2e%2e/problems.py",
    "/docs/static/..%2f..%2fapp.py",
    "/docs/static/%2fetc%2fpasswd",
    "/" + "x" * 30_000,
    "/docs/static/" + "x" * 30_000,
)


def parameters(application: Application, where: str) -> list[tuple[str, str, dict[str, Any], list[str]]]:
    """Method, path, description of each documented parameter, and the names of its operation's parameters."""
    return [
        (method.upper(), path, parameter, [other["name"] for other in described.get("parameters", ())])
        for path, methods in document_of(application)["paths"].items()
        for method, described in methods.items()
        for parameter in described.get("parameters", ())
        if parameter["in"] == where
    ]


def misfits(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, set[str]]:
    """Values that don't fit a parameter's schema, with the codes that may be given for them."""
    schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    match schema:
        case {"enum": [*_]}:
            return {"": {"choice"}, "nope": {"choice"}, "null": {"choice", "type"}, "%F0%9F%98%80": {"choice"}}
        case {"type": "integer", "maximum": maximum}:
            numbers = ["0", "-1", str(int(maximum) + 1), "10000", "9" * 400, "1e3"]
            texts = ["x", "1.5", "", "null", "0x10", "%D9%A3%40"]
            return {value: {"range", "type"} for value in numbers} | {value: {"type"} for value in texts}
        case {"type": "boolean"}:
            return {value: {"type"} for value in ("maybe", "", "null", "2")}
        case {"type": "string", "format": "uuid"}:
            return {value: {"format"} for value in ("", "x", "5", "00000000-0000-0000-0000-00000000000g")}
        case {"type": "string", "format": "date-time"}:
            no_moments = (
                "",
                "x",
                "0",
                "0.5",
                "1700000000",
                "2026-03-01",
                "2026-03-01T09:30:00",
                "2026-02-30T09:30:00Z",
            )
            edges = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
            return {value: {"format"} for value in no_moments} | {value: {"range"} for value in edges}
        case {"type": "string", "format": "date"}:
            no_days = ("", "x", "0", "1700000000", "2026-02-30", "2026-03-01T09:30:00Z")
            edges = ("0001-01-01", "9999-12-31")
            return {value: {"format"} for value in no_days} | {value: {"range"} for value in edges}
        case {"type": "string", "maxLength": longest, "pattern": _}:
            return {"": {"length", "format"}, "x" * (longest + 1): {"length"}}
        case _:
            raise LookupError(schema)


async def test_every_query_parameter_refuses_what_does_not_fit(application: Application, known: Known) -> None:
    schemas = document_of(application)["components"]["schemas"]
    found = parameters(application, "query")
    bodies = {(o.method, o.template): valid_body(o) if o.takes_json else None for o in operations(application)}
    assert len(found) > 15
    for method, path, parameter, _ in found:
        for value, codes in misfits(parameter["schema"], schemas).items():
            url = f"{filled(path, known.ids)}?{parameter['name']}={value}"
            answer = await known.client.request(method, url, json=bodies[method, path])

            problem = problem_of(answer, 422, "invalid")
            assert set(codes_of(problem)) == {parameter["name"]}
            assert codes_of(problem)[parameter["name"]] in codes, (parameter, value, problem)


async def test_every_query_parameter_can_be_given_once(application: Application, known: Known) -> None:
    for method, path, parameter, _ in parameters(application, "query"):
        name = parameter["name"]
        answer = await known.client.request(method, f"{filled(path, known.ids)}?{name}=a&{name}=b")

        assert codes_of(problem_of(answer, 422, "invalid")) == {name: "repeated"}


async def test_no_query_parameter_takes_a_nul(application: Application, known: Known) -> None:
    for method, path, parameter, _ in parameters(application, "query"):
        answer = await known.client.request(method, f"{filled(path, known.ids)}?{parameter['name']}=a%00b")

        assert problem_of(answer, 422)["code"] == "invalid"


async def test_every_operation_refuses_an_unknown_parameter(application: Application, known: Known) -> None:
    for operation in operations(application):
        body = {"json": valid_body(operation)} if operation.takes_json else {}
        answer = await known.client.request(operation.method, operation.path(known.ids) + "?Zzz=1&limit_=2", **body)

        assert codes_of(problem_of(answer, 422, "invalid")) == {"Zzz": "unknown", "limit_": "unknown"}


async def test_all_bad_parameters_are_named_at_once(acme: Tenant) -> None:
    query = {"limit": 0, "sort": "age", "status": "cold", "q": "", "is_deleted": "perhaps", "priority": "urgent"}

    answer = await acme.client.get(CONTACTS, params=query)

    problem = problem_of(answer, 422, "invalid")
    assert set(codes_of(problem)) == set(query)
    messages = {error["field"]: error["message"] for error in problem["errors"]}
    assert messages["limit"] == "Expected at least 1"
    assert messages["priority"] == "Expected one of: high, medium, low"
    assert messages["q"] == "Expected at least 1 character"
    assert messages["is_deleted"] == "Expected true or false"


async def test_the_word_null_is_searched_for_like_any_other(acme: Tenant) -> None:
    for name in ("Null", "Ada"):
        await acme.client.post(CONTACTS, json={"first_name": name})

    answer = await acme.client.get(CONTACTS, params={"q": "null"})

    assert [item["first_name"] for item in answer.json()["items"]] == ["Null"]


@pytest.fixture
async def cursor(acme: Tenant) -> str:
    for name in ("Ada", "Ben", "Cleo"):
        await acme.client.post(CONTACTS, json={"first_name": name})
    answer = await acme.client.get(CONTACTS, params={"limit": 1, "sort": "first_name"})
    return answer.json()["next_cursor"]


async def test_a_cursor_goes_on_where_its_page_ended(acme: Tenant, cursor: str) -> None:
    answer = await acme.client.get(CONTACTS, params={"limit": 1, "sort": "first_name", "cursor": cursor})

    assert [item["first_name"] for item in answer.json()["items"]] == ["Ben"]


@pytest.mark.parametrize(
    "others", [{"sort": "-first_name"}, {"sort": "created_at"}, {}, {"q": "a"}, {"status": "hot_lead"}]
)
async def test_a_cursor_counts_for_its_own_filters_and_sort_alone(
    acme: Tenant, cursor: str, others: dict[str, str]
) -> None:
    query = {"cursor": cursor, **({"sort": "first_name"} if "sort" not in others and others else {}), **others}

    answer = await acme.client.get(CONTACTS, params=query)

    assert codes_of(problem_of(answer, 422, "invalid-cursor")) == {"cursor": "cursor"}


async def test_a_cursor_counts_for_its_own_organization_alone(acme: Tenant, globex: Tenant, cursor: str) -> None:
    answer = await globex.client.get(CONTACTS, params={"sort": "first_name", "cursor": cursor})

    assert problem_of(answer, 422)["code"] == "invalid-cursor"


async def test_every_list_refuses_forged_and_foreign_cursors(
    application: Application, acme: Tenant, cursor: str
) -> None:
    ids = await existing_ids(acme)
    changed = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    own = application.runtime.cursors.open(cursor, acme.organization_id.bytes)
    forged = CursorSigner("another secret, as long as a real one").seal(own, acme.organization_id.bytes)
    for method, path, parameter, _ in parameters(application, "query"):
        if parameter["name"] != "cursor":
            continue
        # A short last group of base64 can be no cursor, nor can one whose signature is cut off.
        for value in (changed, forged, "x", "AAAA", "A" * 2000, cursor + "A", cursor[10:]):
            answer = await acme.client.request(method, filled(path, ids), params={"cursor": value})
            problem_of(answer, 422, "invalid-cursor")
        for value in ("a b", "a+b", "a/b", "cursor=", "é", "null\n"):
            answer = await acme.client.request(method, filled(path, ids), params={"cursor": value})
            assert codes_of(problem_of(answer, 422, "invalid")) == {"cursor": "format"}
        if path != CONTACTS:
            answer = await acme.client.request(method, filled(path, ids), params={"cursor": cursor})
            problem_of(answer, 422, "invalid-cursor")


@pytest.mark.parametrize("path", UNKNOWN_PATHS, ids=lambda path: path[:50])
async def test_an_unknown_path_is_not_found(acme: Tenant, path: str) -> None:
    for client in (acme.client, httpx.AsyncClient(transport=acme.client._transport, base_url=acme.client.base_url)):
        assert problem_of(await client.get(path), 404)["code"] == "not-found"


@pytest.mark.parametrize("value", ["x", "1", "00000000-0000-0000-0000-00000000000g", "%00", "null", "a%0Ab", "٣"])
async def test_an_id_that_is_no_uuid_is_not_found(application: Application, known: Known, value: str) -> None:
    for operation in operations(application):
        if "_id}" in operation.template:
            body = {"json": valid_body(operation)} if operation.takes_json else {}
            path = re.sub(r"{\w+_id}", value, operation.template)
            answer = await known.client.request(operation.method, path, **body)

            assert problem_of(answer, 404)["code"] == "not-found"


def with_head(methods: set[str]) -> set[str]:
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


async def test_a_method_that_a_path_lacks_is_told_which_it_has(application: Application, known: Known) -> None:
    for route in application.litestar.routes:
        if not isinstance(route, HTTPRoute):
            continue
        path = filled(re.sub(r":\w+}", "}", route.path), {"name": "swagger-ui.css"})
        has = with_head(set(route.route_handler_map))
        for method in set(METHODS) - has:
            answer = await known.client.request(method, path)

            problem_of(answer, 405, "method-not-allowed")
            assert set(answer.headers["allow"].split(", ")) == has, (path, method)


async def test_options_names_every_method_of_a_path(application: Application, anonymous: httpx.AsyncClient) -> None:
    for path, methods in document_of(application)["paths"].items():
        answer = await anonymous.options(filled(path))

        assert (answer.status_code, answer.content) == (204, b"")
        assert set(answer.headers["allow"].split(", ")) == with_head({method.upper() for method in methods})


AUTHORIZATIONS = {
    "none": None,
    "empty": "",
    "scheme alone": "Bearer",
    "no token": "Bearer ",
    "basic": "Basic b3duZXI6cGFzc3dvcmQ=",
    "token without scheme": "eyJhbGciOiJIUzI1NiJ9.e30.x",
    "nonsense": "Bearer a.b.c",
    "one word": "Bearer null",
    "two tokens": "Bearer a b",
    "not ASCII": "Bearer é\xff",
    "endless": "Bearer " + "x" * 30_000,
    "unsigned": "Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJ4In0.",
    "bad base64": "Bearer ====.====.====",
}


@pytest.mark.parametrize("value", AUTHORIZATIONS.values(), ids=AUTHORIZATIONS.keys())
async def test_a_bad_credential_is_asked_for_a_good_one(
    application: Application, anonymous: httpx.AsyncClient, value: str | None
) -> None:
    headers = {} if value is None else {b"authorization": value.encode("latin-1")}
    asked = 0
    for operation in operations(application):
        if operation.is_public:
            continue
        path = operation.path()
        body = {"json": valid_body(operation)} if operation.takes_json else {}
        answer = await anonymous.request(operation.method, path, headers=headers, **body)  # type: ignore[arg-type]

        problem_of(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        asked += 1
    assert asked > 10


def conditional(application: Application) -> list[Operation]:
    """The operations that heed If-Match."""
    headers = [(*place, parameter["name"]) for *place, parameter, _ in parameters(application, "header")]
    heeding = {(method, path) for method, path, name in headers if name == "If-Match"}
    found = [operation for operation in operations(application) if (operation.method, operation.template) in heeding]
    assert {name for *_, name in headers} == {"If-Match", "If-None-Match", "Idempotency-Key"}
    assert found
    return found


async def ask_if(operation: Operation, known: Known, tag: str) -> httpx.Response:
    body: dict[str, Any] = {} if operation.body is None else {"json": valid_body(operation)}
    if operation.id == "update_contact":
        body = {"json": {"company": "Changed"}}
    headers: Any = {b"if-match": tag.encode("latin-1")}
    return await known.client.request(operation.method, operation.path(known.ids), headers=headers, **body)


@pytest.mark.parametrize("tag", ["nonsense", '"999"', 'W/"1"', '"1', "1", "", ",", '"x", "y"', '"é"'])
async def test_an_if_match_of_another_version_changes_nothing(application: Application, known: Known, tag: str) -> None:
    contact = f"{CONTACTS}/{known.ids['contact_id']}"
    before = (await known.client.get(contact)).json()
    for operation in conditional(application):
        problem_of(await ask_if(operation, known, tag), 412, "precondition-failed")
    assert (await known.client.get(contact)).json() == before


async def test_an_endless_if_match_is_named_as_the_client_knows_it(application: Application, known: Known) -> None:
    for operation in conditional(application):
        answer = await ask_if(operation, known, "x" * 201)

        assert codes_of(problem_of(answer, 422, "invalid")) == {"If-Match": "length"}


@pytest.mark.parametrize("sent", ["a b", "x" * 65, "é", "", "{}", "a\tb"])
async def test_a_correlation_id_that_could_harm_is_replaced(anonymous: httpx.AsyncClient, sent: str) -> None:
    answer = await anonymous.get("/nowhere", headers={b"x-correlation-id": sent.encode("latin-1")})  # type: ignore[dict-item]

    assert problem_of(answer, 404)["correlation_id"] not in {"", sent}
