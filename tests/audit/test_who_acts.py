"""Who acted, on whose behalf, from where and within what: told of every change, whatever way it came."""

from uuid import UUID

import httpx
from sqlalchemy import ColumnElement, func, select

from core.db.tenancy import Acting, TenantContext, acting, who_acts
from core.identity.links import Purpose
from core.identity.one_time import issue_token
from core.ids import new_id
from core.principal import Principal, PrincipalKind
from core.tasks.context import Ctx
from core.tasks.jobs import JobRunner
from core.tasks.models import OutboxJob
from core.tasks.registry import Actor, TaskRegistry, actor
from core.testing.tenants import PASSWORD, Tenant, client_of
from modules.networking.schemas import ContactIn
from modules.networking.services import contacts
from tests.audit.conftest import CONTACTS, entries, who

CORRELATION = {"x-correlation-id": "corr-7"}


def setting(name: str) -> ColumnElement[str]:
    return func.coalesce(func.current_setting(f"app.{name}", True), "")


def address_of(tenant: Tenant) -> str:
    return tenant.client._transport.client[0]  # type: ignore[attr-defined]


async def test_a_request_is_told_with_its_person_address_and_correlation_id(acme: Tenant) -> None:
    made = await acme.client.post(CONTACTS, json={"first_name": "Ada"}, headers=CORRELATION)

    (entry,) = await entries(acme.database, record_id=UUID(made.json()["id"]))

    assert who(entry) == Acting(user_id=acme.user_id, address=address_of(acme), correlation_id="corr-7")


async def test_an_api_key_is_named_beside_its_maker(acme: Tenant) -> None:
    scopes = {"name": "CRM", "scopes": ["networking:read", "networking:write"]}
    key = (await acme.client.post("/api/v1/api-keys", json=scopes)).json()
    program = client_of(acme.application, token=key["key"])

    made = await program.post(CONTACTS, json={"first_name": "Ada"})

    (entry,) = await entries(acme.database, record_id=UUID(made.json()["id"]))
    assert (entry.user_id, str(entry.api_key_id)) == (acme.user_id, key["api_key"]["id"])


@actor(name="tests.add_contact")
async def add_one(ctx: Ctx, *, name: str) -> None:
    await contacts.create_contact(ctx, ContactIn(first_name=name))


@actor(name="tests.pass_on")
async def pass_on(ctx: Ctx, *, name: str) -> None:
    ctx.enqueue(add_one, name=name)


def ctx_of(tenant: Tenant, principal: Principal) -> Ctx:
    runtime = tenant.application.runtime
    return Ctx(
        principal=principal,
        database=tenant.database,
        registry=TaskRegistry([add_one, pass_on], modules=runtime.registry.modules),
        cursors=runtime.cursors,
        modules=runtime.registry.modules.all_on(),
        correlation_id="corr-8",
        address="203.0.113.9",
    )


async def run(tenant: Tenant, job_id: UUID) -> None:
    runtime = tenant.application.runtime
    runner = JobRunner(
        database=tenant.database,
        registry=TaskRegistry([add_one, pass_on], modules=runtime.registry.modules),
        cursors=runtime.cursors,
        modules=tenant.application.litestar.state.services.modules,
        lease_seconds=5,
    )
    await runner.run(tenant.organization_id, job_id)


async def job_of(tenant: Tenant, made: Actor) -> UUID:
    async with tenant.database.system() as system:
        of_tenant = OutboxJob.organization_id == tenant.organization_id
        return (await system.scalars(select(OutboxJob.id).where(of_tenant, OutboxJob.actor == made.name))).one()


async def test_a_job_tells_what_caused_it_through_any_number_of_jobs(acme: Tenant) -> None:
    """An operator in a person's place used a key of theirs; the job that it caused caused another one."""
    principal = Principal(
        kind=PrincipalKind.API_KEY,
        organization_id=acme.organization_id,
        user_id=acme.user_id,
        impersonator_id=new_id(),
        api_key_id=new_id(),
    )
    ctx = ctx_of(acme, principal)
    first = ctx.enqueue(pass_on, name=f"by job {new_id()}")
    await ctx.commit()
    await ctx.close()

    await run(acme, first)
    second = await job_of(acme, add_one)
    await run(acme, second)

    (entry,) = await entries(acme.database, organization_id=acme.organization_id, table_name="networking.contacts")
    assert who(entry) == Acting(
        user_id=acme.user_id,
        impersonator_id=principal.impersonator_id,
        api_key_id=principal.api_key_id,
        address="203.0.113.9",
        correlation_id="corr-8",
        job_id=second,
        job_name="tests.add_contact",
    )


async def test_an_impersonated_persons_change_names_the_operator(acme: Tenant) -> None:
    operator = new_id()
    principal = Principal(
        kind=PrincipalKind.USER, organization_id=acme.organization_id, user_id=acme.user_id, impersonator_id=operator
    )
    ctx = ctx_of(acme, principal)

    made = await contacts.create_contact(ctx, ContactIn(first_name="Ada"))
    await ctx.commit()
    await ctx.close()

    (entry,) = await entries(acme.database, record_id=made.id)
    assert (entry.user_id, entry.impersonator_id) == (acme.user_id, operator)


async def test_what_the_system_role_does_for_a_person_names_them(acme: Tenant) -> None:
    """A profile is no tenant's row, so a request changes it in a transaction that is no tenant's."""
    await acme.client.patch("/api/v1/users/me/profile", json={"first_name": "Grace"}, headers=CORRELATION)

    last = (await entries(acme.database, record_id=acme.user_id))[-1]
    assert last.new_values == {"first_name": "Grace", "updated_by": str(acme.user_id)}
    assert who(last) == Acting(user_id=acme.user_id, address=address_of(acme), correlation_id="corr-7")


async def test_a_sign_in_names_whoever_signed_in(acme: Tenant) -> None:
    async with client_of(acme.application) as stranger:
        login = {"email": acme.email, "password": PASSWORD}
        await stranger.post("/api/v1/auth/login", json=login, headers=CORRELATION)
        address = stranger._transport.client[0]  # type: ignore[attr-defined]

    (entry,) = await entries(acme.database, table_name="core.sessions", correlation_id="corr-7", address=address)
    assert (entry.action, entry.user_id, entry.organization_id) == ("create", acme.user_id, acme.organization_id)


async def test_a_mailed_link_names_the_person_whose_it_is(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    links = acme.application.runtime.links
    async with acme.database.system() as system:
        token_id = await issue_token(system, links, Purpose.RESET_PASSWORD, acme.user_id)
    reset = {"token": links.token(Purpose.RESET_PASSWORD, token_id), "password": "another long password"}

    answer = await anonymous.post("/api/v1/auth/password-reset/confirm", json=reset, headers=CORRELATION)

    assert answer.status_code < 300, answer.text
    changed = (await entries(acme.database, record_id=acme.user_id))[-1]
    assert (changed.user_id, changed.new_values) == (acme.user_id, {"password_hash": "[hidden]"})


async def test_a_refused_sign_in_is_nobodys(acme: Tenant, anonymous: httpx.AsyncClient) -> None:
    wrong = {"email": acme.email, "password": "not the password at all"}

    answer = await anonymous.post("/api/v1/auth/login", json=wrong, headers={"x-correlation-id": "corr-refused"})

    assert answer.status_code == 401
    assert await entries(acme.database, correlation_id="corr-refused") == []


async def test_whoever_acted_is_forgotten_with_the_request(acme: Tenant) -> None:
    """The next transaction of the system role, on the same connection maybe, is somebody else's."""
    before = who_acts()
    await acme.client.patch("/api/v1/users/me/profile", json={"first_name": "Grace"})

    async with acme.database.system() as system:
        settings = await system.scalar(select(setting("user_id") + setting("correlation_id")))

    assert who_acts() == before == Acting()
    assert settings == ""


async def test_the_system_role_learns_who_acts_and_never_a_tenant(acme: Tenant) -> None:
    context = TenantContext(organization_id=acme.organization_id, user_id=acme.user_id, address="203.0.113.9")

    with acting(context):
        async with acme.database.system() as system:
            found = (
                await system.execute(select(setting("organization_id"), setting("user_id"), setting("address")))
            ).one()

    assert tuple(found) == ("", str(acme.user_id), "203.0.113.9")


async def test_a_hostile_address_or_correlation_id_stays_text(acme: Tenant) -> None:
    hostile = "'; SET LOCAL app.organization_id = 'x'; -- \\'"

    with acting(Acting(address=hostile, correlation_id=hostile, job_name=hostile)):
        async with acme.database.system() as system:
            found = (
                await system.execute(select(setting("address"), setting("correlation_id"), setting("job_name")))
            ).one()

    assert tuple(found) == (hostile,) * 3
