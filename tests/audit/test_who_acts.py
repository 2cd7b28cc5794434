"""Who acted, on whose behalf, from where and within what: told of every change, whatever way it came."""

from uuid import UUID

import pytest
from msgspec import structs

from core.db.tenancy import Acting, acting, who_acts
from core.identity.directory import create_organization
from core.ids import new_id
from core.permissions import Role
from core.principal import Principal, PrincipalKind
from core.tasks.context import Ctx
from core.tasks.jobs import JobRunner
from core.tasks.registry import TaskRegistry, actor
from core.testing.tenants import PASSWORD, Tenant, client_of, make_member, password_hash
from modules.networking.schemas import ContactIn
from modules.networking.services import contacts
from tests.audit.conftest import CONTACTS, add_contact, entries, who

CORRELATION = {"x-correlation-id": "corr-7"}


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
        registry=TaskRegistry([add_one, pass_on]),
        cursors=runtime.cursors,
        correlation_id="corr-8",
        address="203.0.113.9",
    )


async def run(tenant: Tenant, job_id: UUID) -> None:
    runtime = tenant.application.runtime
    runner = JobRunner(
        database=tenant.database,
        registry=TaskRegistry([add_one, pass_on]),
        cursors=runtime.cursors,
        lease_seconds=5,
    )
    await runner.run(tenant.organization_id, job_id)


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
    async with acme.database.system() as system:
        second = (
            await system.exec_driver_sql("SELECT 1") if False else None
        )
    from sqlalchemy import select

    from core.tasks.models import OutboxJob

    async with acme.database.system() as system:
        second = await system.scalar(select(OutboxJob.id).where(OutboxJob.actor == add_one.name, OutboxJob.organization_id == acme.organization_id))
    assert second is not None
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
