"""Roles and routes: what is checked in is what the guards say, and what the guards say is what happens."""

import re
from pathlib import Path

import pytest
from litestar import Litestar, get

from core.app import Application
from core.cli.permissions import access_to_routes, matrix_text
from core.ids import new_id
from core.permissions import Role
from core.testing.tenants import Tenant, make_member

MATRIX = Path(__file__).parents[2] / "docs" / "permissions.md"
REFUSED = {401, 403}


def test_the_matrix_that_is_checked_in_is_that_of_the_application(application: Application) -> None:
    """Made anew by `plugs permissions matrix --output docs/permissions.md`."""
    assert MATRIX.read_text() == matrix_text(application.litestar)


def test_a_route_that_does_not_say_who_may_call_it_is_an_error() -> None:
    @get("/nobody-said", sync_to_thread=False)
    def unguarded() -> None: ...

    with pytest.raises(LookupError, match="GET /nobody-said"):
        access_to_routes(Litestar([unguarded], openapi_config=None, logging_config=None))


@pytest.mark.parametrize("role", Role)
async def test_each_role_gets_through_where_the_matrix_says_so_and_nowhere_else(
    application: Application, acme: Tenant, role: Role
) -> None:
    """Asked about things that are not there and with an empty body, so that whoever gets through changes little."""
    member, wrong = await make_member(acme, role), []
    for access in access_to_routes(application.litestar):
        method, path = access.route.split(" ")
        if access.needs == "nobody signed in" or "path}" in path:
            continue
        url = re.sub(r"{\w+:uuid}", lambda _: str(new_id()), path)
        body = {} if method in {"POST", "PATCH", "PUT"} else None
        answer = await member.client.request(method, url, json=body)
        if answer.status_code == 401:  # an earlier route ended the session
            member = await make_member(acme, role)
            answer = await member.client.request(method, url, json=body)
        if (answer.status_code not in REFUSED) != (role in access.roles):
            wrong.append((access.route, answer.status_code))
    assert wrong == []
