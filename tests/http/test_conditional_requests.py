"""If-None-Match: whoever has what would be sent gets a 304 and no body; the same ETag means the same bytes."""

from typing import Any

import httpx
import pytest
from asking import Known, between, existing_ids, operations
from serving import client_for, serving

from core.app import Application
from core.errors import PreconditionFailed
from core.http.conditions import check_if_match, etag_of, is_known
from core.http.responses import Tagged, tagged
from core.permissions import Role
from core.sdk import get
from core.settings import Settings
from core.testing.tenants import Tenant, make_member

CONTACTS = "/api/v1/networking/contacts"


def answers_tagged(handler: Any) -> bool:
    return handler.parsed_fn_signature.return_type.origin is Tagged


async def test_every_row_that_has_an_etag_is_sent_once(application: Application, acme: Tenant) -> None:
    known = Known(tenant=acme, ids=await existing_ids(acme))
    asked = [o for o in operations(application) if o.method == "GET" and answers_tagged(o.handler)]
    assert {"get_contact", "get_import", "get_role", "get_view"} < {operation.id for operation in asked}

    for operation in asked:
        ids = dict(known.ids) | (await between(acme, operation.id) if "connection_id" in operation.names else {})
        url = operation.path(ids)
        first = await acme.client.get(url)
        again = await acme.client.get(url, headers={"if-none-match": first.headers["etag"]})
        head = await acme.client.head(url, headers={"if-none-match": f'W/{first.headers["etag"]}, "other"'})
        other = await acme.client.get(url, headers={"if-none-match": '"0-0", W/"other"'})

        assert (first.status_code, again.status_code, head.status_code) == (200, 304, 304), operation.id
        assert (again.content, again.headers["etag"]) == (b"", first.headers["etag"]), operation.id
        assert not {"content-type", "content-length"} & set(again.headers), operation.id
        assert again.headers["cache-control"] == first.headers["cache-control"]
        assert (other.status_code, other.content) == (200, first.content), operation.id


async def test_an_etag_and_a_304_are_where_the_document_tells_of_them(
    application: Application, anonymous: httpx.AsyncClient
) -> None:
    paths = (await anonymous.get("/openapi.json")).json()["paths"]
    for operation in operations(application):
        told = paths[operation.template][operation.method.lower()]
        is_tagged = answers_tagged(operation.handler)
        success = told["responses"][str(operation.handler.status_code)]

        assert ("ETag" in success.get("headers", {})) == is_tagged, operation.id
        assert ("304" in told["responses"]) == (is_tagged and operation.method == "GET"), operation.id
        names = {parameter["name"] for parameter in told.get("parameters", ())}
        assert ("If-None-Match" in names) == ("304" in told["responses"]), operation.id


async def test_nobody_learns_by_an_etag_what_they_may_not_see(acme: Tenant, globex: Tenant) -> None:
    owner = await make_member(acme, Role.MEMBER)
    made = await owner.client.post(CONTACTS, json={"first_name": "Ada", "visibility": "owner"})
    url, known = f"{CONTACTS}/{made.json()['id']}", {"if-none-match": made.headers["etag"]}
    strangers = (globex, await make_member(acme, Role.MEMBER))

    assert [(await stranger.client.get(url, headers=known)).status_code for stranger in strangers] == [404, 404]
    assert [(await stranger.client.get(url, headers={"if-none-match": "*"})).status_code for stranger in strangers] == [
        404,
        404,
    ]
    assert (await owner.client.get(url, headers=known)).status_code == 304


async def test_a_change_is_never_answered_as_known(acme: Tenant) -> None:
    made = await acme.client.post(CONTACTS, json={"first_name": "Ada"})

    same = await acme.client.patch(
        f"{CONTACTS}/{made.json()['id']}",
        json={"first_name": "Ada"},
        headers={"if-none-match": made.headers["etag"], "if-match": made.headers["etag"]},
    )

    assert (same.status_code, same.json(), same.headers["etag"]) == (200, made.json(), made.headers["etag"])


@get("/dressed", operation_id="dressed", response_headers={"x-of-handler": "1"})
async def dressed() -> Tagged[dict[str, int]]:
    answer = tagged({"a": 1}, version=1)
    answer.set_cookie("seen", "yes")
    answer.headers |= {"X-Own": "é", "Content-Type": "application/json; profile=x"}
    return answer


@get("/bare", operation_id="bare")
async def bare() -> Tagged[dict[str, int]]:
    answer = tagged({"a": 1}, version=1)
    answer.headers |= {"X-Own": "é", "Content-Type": "application/json; profile=x"}
    return answer


async def test_an_answer_that_is_json_already_keeps_all_that_is_put_on_it(settings: Settings, acme: Tenant) -> None:
    async with serving(settings, dressed, bare) as application, client_for(application, acme) as client:
        for path, of_handler in (("dressed", "1"), ("bare", None)):
            whole = await client.get(f"/api/v1/scratch/{path}")
            same = await client.get(f"/api/v1/scratch/{path}", headers={"if-none-match": whole.headers["etag"]})

            assert (whole.status_code, whole.content, same.status_code, same.content) == (200, b'{"a":1}', 304, b"")
            assert whole.headers.get_list("content-type") == ["application/json; profile=x"]
            assert whole.headers["content-length"] == "7"
            for answer in (whole, same):
                assert answer.headers["x-own"] == "é"
                assert answer.headers.get("x-of-handler") == of_handler
                assert ("seen=yes" in answer.headers.get("set-cookie", "")) == (path == "dressed")


def test_an_etag_is_of_the_version_and_of_every_byte() -> None:
    tags = [tagged({"a": n}, version=version).headers["ETag"] for n in range(20) for version in range(20)]

    assert len(set(tags)) == len(tags)
    assert tagged({"a": 1}, version=3).headers["ETag"] == etag_of(3, b'{"a":1}')


@pytest.mark.parametrize("header", [None, "*", '"7"', etag_of(7, b"x"), etag_of(7, b"y"), f'"1", {etag_of(7, b"x")}'])
def test_if_match_asks_for_the_version_alone(header: str | None) -> None:
    assert check_if_match(header, 7) is None  # type: ignore[func-returns-value]
    if header not in {None, "*"}:
        with pytest.raises(PreconditionFailed):
            check_if_match(header, 8)


@pytest.mark.parametrize("header", ["", "7", '"7', 'W/"7"', '"7-"', '"7-xyz"', '"07x"', '"\u0667"', '"77"'])
def test_what_is_no_etag_of_ours_matches_no_version(header: str) -> None:
    with pytest.raises(PreconditionFailed):
        check_if_match(header, 7)
    with pytest.raises(PreconditionFailed):
        check_if_match('"' + "9" * 5000 + '"', 7)
    assert not is_known([header], etag_of(7, b"x"))
