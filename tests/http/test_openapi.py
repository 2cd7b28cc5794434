"""The OpenAPI document: valid, whole, and true. What the API does is checked against what it says."""

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import pytest
from asking import CSV, IMPORTS, Operation, between, existing_ids, operations, valid_body
from msgspec import Struct
from msgspec.structs import fields

from core import clock
from core.app import Application
from core.http.access import MODULE
from core.http.bodies import decode_strictly
from core.http.documentation import FILES, STATIC
from core.http.openapi import ALSO
from core.identity.totp import code_at, step_at
from core.permissions import Role
from core.testing.tenants import PASSWORD, Tenant, make_member
from core.text import NO_NUL

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
OUTSIDE = re.compile(r"(?:https?:)?//[a-z0-9]", re.IGNORECASE)


@pytest.fixture
async def document(anonymous: httpx.AsyncClient) -> dict[str, Any]:
    answer = await anonymous.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return answer.json()


def described(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    whole = schema | {"components": document["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    import schemathesis  # no other worker has to wait for it

    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema)


def test_every_route_is_described_once(application: Application, document: dict[str, Any]) -> None:
    found = [(method, path) for method, path, _ in described(document)]
    names = [operation["operationId"] for _, _, operation in described(document)]

    assert sorted(found) == sorted((operation.method, operation.template) for operation in operations(application))
    assert len(names) == len(set(names))


def test_every_operation_says_what_it_is_for(document: dict[str, Any]) -> None:
    for _, path, operation in described(document):
        assert re.fullmatch(r"[a-z][a-z0-9_]+", operation["operationId"]), path
        assert operation["summary"].strip(), path
        assert operation["tags"], path


def test_every_operation_says_who_may_call_it(application: Application, document: dict[str, Any]) -> None:
    public = {operation.id for operation in operations(application) if operation.is_public}

    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for _, _, operation in described(document):
        if operation["operationId"] in public:
            assert "security" not in operation
        else:
            assert operation["security"] == [{"bearer": []}]
            assert "401" in operation["responses"]


def test_every_problem_is_described_as_one(application: Application, document: dict[str, Any]) -> None:
    also = {operation.id: operation.handler.opt.get(ALSO, ()) for operation in operations(application)}
    gated = {operation.id for operation in operations(application) if MODULE in operation.handler.opt}
    for _, path, operation in described(document):
        failures = {status: answer for status, answer in operation["responses"].items() if status >= "400"}

        assert {"422", "503"} <= set(failures), path
        assert ("404" in failures) == (
            "{" in path or operation["operationId"] in gated or 404 in also[operation["operationId"]]
        )
        assert ({"400", "413", "415"} <= set(failures)) == ("requestBody" in operation)
        for answer in failures.values():
            assert answer["content"] == PROBLEM


def test_nothing_dangles_and_nothing_is_left_over(document: dict[str, Any]) -> None:
    used = {node["$ref"] for node in nodes(document) if "$ref" in node}
    there = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    assert used == there
    assert not any("$defs" in node for node in nodes(document))


def test_every_schema_has_a_name_that_a_client_can_bear(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name)
        assert schema["title"] == name


def test_every_body_refuses_what_it_does_not_know(application: Application, document: dict[str, Any]) -> None:
    for operation in operations(application):
        if operation.body is not None:
            assert document["components"]["schemas"][operation.body.__name__]["additionalProperties"] is False


def test_every_field_of_a_body_is_described(application: Application, document: dict[str, Any]) -> None:
    for operation in operations(application):
        if operation.body is not None:
            shown = document["components"]["schemas"][operation.body.__name__]
            assert set(shown["properties"]) == {field.encode_name for field in fields(operation.body)}
            assert set(shown["required"]) == {f.encode_name for f in fields(operation.body) if f.required}


def test_a_pattern_means_the_same_in_every_language(document: dict[str, Any]) -> None:
    patterns = {node["pattern"] for node in nodes(document) if isinstance(node.get("pattern"), str)}
    assert len(patterns) > 5
    for pattern in patterns:
        assert not re.search(r"\\[sSwWdDbBAZzpP]", pattern), pattern
        # Python's `$` alone also matches before a last line break.
        assert pattern == NO_NUL or "$" not in pattern or pattern.endswith(r"$(?!\n)"), pattern


def test_whatever_has_a_form_of_its_own_shows_an_example(application: Application, document: dict[str, Any]) -> None:
    for operation in operations(application):
        body = operation.body and document["components"]["schemas"][operation.body.__name__]
        for node in nodes(body):
            if isinstance(node.get("pattern"), str) and node["pattern"] != NO_NUL:
                assert node["examples"], node


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    seen = 0
    for node in nodes(document["components"]["schemas"]):
        for example in node.get("examples", ()) if isinstance(node.get("examples"), list) else ():
            assert validator(document, node).is_valid(example), node
            seen += 1
    assert seen > 10


def test_the_schema_of_a_body_accepts_what_the_api_accepts(application: Application, document: dict[str, Any]) -> None:
    """The document and the decoder judge the same bodies alike, good ones and bad ones."""
    for operation in operations(application):
        if not operation.takes_json or operation.body is None:
            continue
        schema = validator(document, {"$ref": f"#/components/schemas/{operation.body.__name__}"})
        good = valid_body(operation)
        changes: list[dict[str, Any]] = [{}, {"zzz": 1}]
        for field in fields(operation.body):
            changes += [{field.encode_name: value} for value in (None, 5, True, "", "x", "a\0", "x" * 20_000, [], {})]
        for change in changes:
            body = good | change
            assert schema.is_valid(body) == _accepted(body, operation.body), (operation.id, change)


def _accepted(body: dict[str, Any], kind: type[Struct]) -> bool:
    from core.errors import Invalid

    try:
        decode_strictly(json.dumps(body).encode(), kind)
    except Invalid:
        return False
    return True


async def _ask(
    operation: Operation, tenant: Tenant, anonymous: httpx.AsyncClient, known: Mapping[str, str]
) -> httpx.Response:
    """Call an operation so that it succeeds: what only reads on the `known` rows, all else on rows of its own."""
    if operation.method == "GET":
        ids = dict(known)
    else:
        ids = await existing_ids(tenant, operation.names | IN_BODIES.get(operation.id, set()))
    if operation.id in {"restore_contact", "restore_team", "restore_role", "restore_interaction"}:
        await tenant.client.delete(operation.path(ids).removesuffix("/restore"))
    if operation.id in {"restore_tenant", "purge_tenant"}:
        url = operation.path(ids).rpartition("/")[0]
        (await tenant.client.post(f"{url}/deletion", json={"slug": ids["slug"]})).raise_for_status()
    if operation.id == "refresh":
        login = {"email": tenant.email, "password": PASSWORD}
        pair = (await anonymous.post("/api/v1/auth/login", json=login)).json()
        return await anonymous.post(operation.path(), json={"refresh_token": pair["refresh_token"]})
    body: dict[str, Any] = {}
    if "{connection_id}" in operation.template or operation.id == "unblock_person":
        ids |= await between(tenant, operation.id)
    if operation.id in {"update_import", "start_import"}:
        draft = await tenant.client.post(IMPORTS, files={"file": ("contacts.csv", CSV)}, data={"start": "false"})
        ids["import_id"] = draft.json()["id"]
    if operation.id.startswith("unshare_contact_with_"):
        await tenant.client.put(operation.path(ids), json={})
    if operation.takes_files:
        body = {"files": {"file": ("contacts.csv", CSV)}}
    elif operation.takes_json:
        body = {"json": valid_body(operation) | _fitting(operation, tenant, ids)}
    if operation.id in {"list_import_errors", "list_import_rows", "revert_import"}:
        await tenant.run_jobs()
    return await tenant.client.request(operation.method, operation.path(ids), **body)


IN_BODIES = {
    "impersonate": {"user_id"},
    "request_connection": {"user_id"},
    "grant_role": {"user_id"},
    "change_contact_owner": {"user_id"},
    "merge_tags": {"other_tag_id"},
    "tag_contacts": {"contact_id", "tag_id"},
}
"""Ids of what is there already that an operation names in its body, beside those in its path."""


def _fitting(operation: Operation, tenant: Tenant, ids: Mapping[str, str]) -> dict[str, Any]:
    """What a body must hold to succeed, beyond its type."""
    bodies: dict[str, dict[str, Any]] = {
        "login": {"email": tenant.email, "password": PASSWORD},
        "register": {"password": PASSWORD},
        "switch_organization": {"organization": tenant.slug},
        "create_organization": {"slug": f"o-{uuid4().hex[:12]}"},
        "delete_organization": {"slug": tenant.slug},
        "deactivate_account": {"password": PASSWORD},
        "change_password": {"current_password": PASSWORD, "new_password": f"another-{uuid4().hex}"},
        "enrol_totp": {"password": PASSWORD},
        "switch_module": {"state": "enabled"},
        "create_tenant": {"slug": f"o-{uuid4().hex[:12]}"},
        "delete_tenant": {"slug": ids.get("slug")},
        "purge_tenant": {"slug": ids.get("slug")},
        "impersonate": {"organization_id": str(tenant.organization_id), "user_id": ids.get("user_id")},
        "request_connection": {"user_id": ids.get("user_id")},
        "change_contact_owner": {"user_id": ids.get("user_id")},
        "merge_tags": {"other_id": ids.get("other_tag_id")},
        "tag_contacts": {"contact_ids": [ids.get("contact_id")], "add": [ids.get("tag_id")]},
        "create_team": {"name": uuid4().hex},
        "move_contact": {"contact_type": "contact", "email": f"{uuid4().hex}@example.com"},
        "merge_contacts": {"other_id": ids.get("other_id")},
        "preview_merge": {"other_id": ids.get("other_id")},
        "create_role": {"name": uuid4().hex},
        "grant_role": {"user_id": ids.get("user_id"), "role_id": ids.get("role_id"), "team_id": ids.get("team_id")},
    }
    return bodies.get(operation.id, {})


async def _ask_as_somebody_else(operation: Operation, tenant: Tenant) -> httpx.Response:
    """What ends one's own session, or that of all."""
    other = await make_member(tenant, Role.OWNER)
    body: dict[str, Any] = {"json": _fitting(operation, tenant, defaultdict(str))} if operation.takes_json else {}
    return await other.client.request(operation.method, operation.path(), **body)


async def _ask_with_second_factor(operation: Operation, tenant: Tenant) -> httpx.Response:
    """Somebody who has enrolled an authenticator app, and confirmed it unless that is what is asked."""
    client = (await make_member(tenant, Role.OWNER)).client
    enrolment = (await client.post("/api/v1/auth/mfa/totp", json={"password": PASSWORD})).json()
    seed, now = base64.b32decode(enrolment["secret"]), step_at(clock.now())
    first = {"code": code_at(seed, now - 1)}
    if operation.id == "confirm_totp":
        return await client.post(operation.path(), json=first)
    (await client.post("/api/v1/auth/mfa/totp/confirm", json=first)).raise_for_status()
    return await client.post(operation.path(), json={"password": PASSWORD, "totp_code": code_at(seed, now)})


BY_LETTER = {"verify_email", "reset_password", "restore_organization", "register_invited", "accept_invitation"}
"""They take a token that was mailed; what they answer is looked at in the tests of letters."""
WITH_ISSUER = {"start_oidc", "finish_oidc", "finish_oidc_with_second_factor", "link_oidc", "unlink_oidc"}
"""They need an issuer; what they answer is looked at where there is one, in tests/identity."""
WITH_SECOND_FACTOR = {"confirm_totp", "disable_totp", "renew_recovery_codes"}
ENDING = ("change_password", "deactivate_account", "leave_organization", "logout", "delete_organization")


def _destroys(operation: Operation) -> tuple[bool, bool]:
    """In this order: what reads goes first, and the organization last."""
    return operation.id == "delete_organization", operation.method != "GET"


@pytest.mark.timeout(400)  # it asks all of them, and makes rows for each that changes them
async def test_every_operation_answers_as_described(
    application: Application, document: dict[str, Any], acme: Tenant, anonymous: httpx.AsyncClient
) -> None:
    shown = {operation["operationId"]: operation["responses"] for _, _, operation in described(document)}
    found = [operation for operation in operations(application) if operation.id not in BY_LETTER | WITH_ISSUER]
    known = await existing_ids(acme)
    for operation in sorted(found, key=_destroys):
        ending = operation.id in ENDING
        if operation.id in WITH_SECOND_FACTOR:
            answer = await _ask_with_second_factor(operation, acme)
        else:
            asked = _ask_as_somebody_else(operation, acme) if ending else _ask(operation, acme, anonymous, known)
            answer = await asked

        assert answer.is_success, (operation.id, answer.text)
        content = shown[operation.id][str(answer.status_code)].get("content", {})
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        assert answer.headers.get("content-type", "").count("charset") <= 1
        assert set(content) == ({media_type} if answer.content else set()), operation.id
        if media_type == "application/json":
            validator(document, content[media_type]["schema"]).validate(answer.json())


PAGES = ("/docs", "/redoc")


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_is_shown_without_any_outside_address(anonymous: httpx.AsyncClient, page: str) -> None:
    answer = await anonymous.get(page)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert not OUTSIDE.search(answer.text)
    links = re.findall(r'(?:src|href|spec-url)="([^"]+)"', answer.text)
    assert len(links) >= 2
    for link in links:
        if not link.startswith("data:"):
            assert (await anonymous.get(link)).status_code == 200, link


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_works_under_its_own_policy(anonymous: httpx.AsyncClient, page: str) -> None:
    answer = await anonymous.get(page)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not OUTSIDE.search(answer.headers["content-security-policy"])
    assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text), "an inline script would not run"
    assert not re.search(r"\son[a-z]+=", answer.text), "an inline handler would not run"


@pytest.mark.parametrize("name", FILES)
async def test_a_static_file_is_served_as_it_is(anonymous: httpx.AsyncClient, name: str) -> None:
    answer = await anonymous.get(f"/docs/static/{name}")

    assert (answer.status_code, answer.content) == (200, (STATIC / name).read_bytes())
    assert answer.headers["content-type"] == f"{FILES[name]}; charset=utf-8"
    assert answer.headers["cache-control"] == "max-age=86400"
    assert answer.headers["content-disposition"].startswith("inline")


def test_no_style_sheet_or_start_script_loads_from_outside() -> None:
    """The two bundles hold addresses as text (licences, XML namespaces); the page's policy keeps them from use."""
    for name in ("swagger-ui.css", "swagger-start.js"):
        content = (STATIC / name).read_text()
        assert not re.search(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", content)
        assert name.endswith(".css") or not OUTSIDE.search(content.split("\n", 1)[1])
