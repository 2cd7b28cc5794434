"""Who operates the platform: granted on the server, in a session with a second factor, and nobody else in any way."""

import re
from collections.abc import AsyncGenerator

import httpx
import pytest
from msgspec.structs import replace

from core.app import Application, create_app
from core.cli.permissions import access_to_routes
from core.errors import Conflict, NotFound
from core.identity.operators import EVERY_OPERATOR, grant_operator, list_operators, withdraw_operator
from core.ids import new_id
from core.permissions import Role
from core.runtime import Runtime
from core.settings import Environment
from core.testing.tenants import PASSWORD, MakeTenant, Tenant, client_of, make_member, make_tenant, running
from core.testing.waiting import until
from tests.admin.conftest import ADMIN, ORGANIZATIONS, impersonate
from tests.identity.factors import code_of, sign_in, turn_on


def admin_routes(application: Application) -> list[tuple[str, str]]:
    """Method and path of every route of the operators, with ids of nothing in it."""
    found = [access.route.split(" ") for access in access_to_routes(application.litestar)]
    return [(method, re.sub(r"{\w+:\w+}", lambda _: str(new_id()), path)) for method, path in found if ADMIN in path]


async def refusals(client: httpx.AsyncClient, application: Application) -> set[tuple[int, str]]:
    """How every route of the operators answers."""
    routes = admin_routes(application)
    assert len(routes) > 20
    answers = [
        await client.request(method, path, json={} if method in {"POST", "PUT", "PATCH"} else None)
        for method, path in routes
    ]
    return {(answer.status_code, answer.json()["code"]) for answer in answers}


@pytest.mark.parametrize("role", Role)
async def test_no_role_in_an_organization_opens_a_route_of_the_operators(
    application: Application, acme: Tenant, role: Role
) -> None:
    member = await make_member(acme, role)

    assert await refusals(member.client, application) == {(403, "operator-needed")}


async def test_a_stranger_is_asked_to_sign_in(application: Application, anonymous: httpx.AsyncClient) -> None:
    assert await refusals(anonymous, application) == {(401, "unauthenticated")}


async def test_an_operators_api_key_opens_none_of_them(application: Application, operator: Tenant) -> None:
    data = {"name": "CRM", "scopes": ["networking:read"]}
    made = (await operator.client.post("/api/v1/api-keys", json=data)).json()

    assert await refusals(client_of(application, token=made["key"]), application) == {(403, "operator-needed")}


async def test_no_api_key_is_made_for_the_platform(operator: Tenant) -> None:
    for scope in sorted(EVERY_OPERATOR):
        refused = await operator.client.post("/api/v1/api-keys", json={"name": "CRM", "scopes": [scope]})

        assert (refused.status_code, refused.json()["code"]) == (403, "beyond-own-role")


async def test_nobody_operates_in_somebodys_place(application: Application, operator: Tenant, acme: Tenant) -> None:
    client, _ = await impersonate(operator, acme)

    got = {code for _, code in await refusals(client, application)}

    assert got == {"operator-needed", "impersonation-read-only"}


async def test_the_platforms_permissions_are_in_no_role(runtime: Runtime) -> None:
    declared = {permission.name for permission in runtime.permissions}

    assert declared.isdisjoint(EVERY_OPERATOR)
    assert not any(name.startswith("platform:") for name in declared)


async def test_a_grant_that_is_withdrawn_ends_with_the_next_request(operator: Tenant) -> None:
    before = await operator.client.get(ORGANIZATIONS)

    await withdraw_operator(operator.database, operator.email)
    await operator.catch_up()

    assert before.status_code == 200
    assert (await operator.client.get(ORGANIZATIONS)).status_code == 403
    with pytest.raises(NotFound):
        await withdraw_operator(operator.database, operator.email)


async def test_nobody_unknown_is_made_an_operator(operator: Tenant) -> None:
    with pytest.raises(NotFound):
        await grant_operator(operator.database, "nobody@nowhere.example", writing=False, needs_second_factor=False)


class TestInProduction:
    """Where a second factor is asked of operators."""

    @pytest.fixture
    async def deployed(self, runtime: Runtime) -> AsyncGenerator[Application]:
        settings = replace(runtime.settings, environment=Environment.PRODUCTION, smtp_url="smtp://127.0.0.1:9")
        async with running(create_app(Runtime(settings=settings, plugs=runtime.plugs))) as application:
            yield application

    async def grant(self, tenant: Tenant) -> None:
        await grant_operator(tenant.database, tenant.email, writing=False, needs_second_factor=True)

    async def test_nobody_without_a_second_factor_is_granted_anything(self, deployed: Application) -> None:
        acme = await make_tenant(deployed)

        with pytest.raises(Conflict):
            await self.grant(acme)

    async def test_a_session_of_a_password_alone_is_not_good_for_the_platform(self, deployed: Application) -> None:
        acme = await make_tenant(deployed)
        seed, _ = await turn_on(acme)
        await self.grant(acme)

        old_session = await acme.client.get(ORGANIZATIONS)
        pair = (await sign_in(acme, totp_code=code_of(seed))).json()
        new_session = await client_of(deployed, token=pair["access_token"]).get(ORGANIZATIONS)

        assert (old_session.status_code, old_session.json()["code"]) == (403, "operator-needed")
        assert new_session.status_code == 200

    async def test_a_factor_that_is_younger_than_the_grant_counts_for_nothing(self, deployed: Application) -> None:
        """Whoever has the password can enrol a factor of their own, where there is none."""
        acme = await make_tenant(deployed)
        await grant_operator(acme.database, acme.email, writing=False, needs_second_factor=False)
        seed, _ = await turn_on(acme)
        pair = (await sign_in(acme, totp_code=code_of(seed))).json()
        client = client_of(deployed, token=pair["access_token"])

        refused = await client.get(ORGANIZATIONS)
        told = {o.email: o.has_second_factor for o in await list_operators(acme.database)}
        await self.grant(acme)

        assert refused.status_code == 403
        assert told[acme.email] is False

        async def is_let_in() -> bool:
            return (await client.get(ORGANIZATIONS)).status_code == 200

        await until(is_let_in, within=1)
        assert await is_let_in()

    async def test_a_session_that_was_switched_is_as_good_as_the_one_it_came_from(self, deployed: Application) -> None:
        acme = await make_tenant(deployed)
        old = acme.client
        seed, _ = await turn_on(acme)
        await self.grant(acme)
        pair = (await sign_in(acme, totp_code=code_of(seed))).json()
        proved = client_of(deployed, token=pair["access_token"])

        answers = []
        for client in (old, proved):
            switched = (await client.post("/api/v1/auth/switch", json={"organization": acme.slug})).json()
            answers.append(await client_of(deployed, token=switched["access_token"]).get(ORGANIZATIONS))

        assert [answer.status_code for answer in answers] == [403, 200]


async def test_operators_are_as_good_as_their_password_in_the_local_default(
    new_tenant: MakeTenant, application: Application
) -> None:
    acme = await new_tenant()
    await grant_operator(acme.database, acme.email, writing=False, needs_second_factor=False)
    login = {"email": acme.email, "password": PASSWORD}
    pair = (await client_of(application).post("/api/v1/auth/login", json=login)).json()

    answer = await client_of(application, token=pair["access_token"]).get(ORGANIZATIONS)

    assert application.runtime.settings.environment is Environment.LOCAL
    assert answer.status_code == 200
