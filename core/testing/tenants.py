"""Tenants for tests: an organization of its own with a signed-in owner, and a client that speaks for them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from ipaddress import IPv4Address
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import httpx
from argon2 import PasswordHasher
from msgspec import Struct
from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.app import Application
from core.db.database import Database
from core.db.statements import Statement
from core.identity import passwords
from core.identity.directory import create_organization
from core.identity.models import Membership, User
from core.identity.operators import grant_operator
from core.identity.origins import Origin
from core.ids import new_id
from core.permissions import Role
from core.principal import Principal, PrincipalKind
from core.tasks.context import Ctx
from core.tasks.jobs import JobRunner
from core.tasks.models import OutboxJob

PASSWORD = "a-password-for-tests-only"  # noqa: S105
BASE_URL = "http://plugs.test"
FIRST_ADDRESS = IPv4Address("10.0.0.1")
ORIGIN = Origin(address=str(FIRST_ADDRESS), user_agent="Tests")
_CLIENTS = count()

_DUE = Statement(
    select(OutboxJob.id).where(
        OutboxJob.organization_id == bindparam("organization_id"),
        OutboxJob.done_at.is_(None),
        OutboxJob.parked_at.is_(None),
        OutboxJob.held_at.is_(None),
        OutboxJob.not_before <= func.now(),
    )
)

type MakeTenant = Callable[..., Awaitable["Tenant"]]


def password_hash() -> str:
    """Of `PASSWORD`, at what a hash costs now."""
    return _hash_of_password(passwords.HASHER)


@cache
def _hash_of_password(hasher: PasswordHasher) -> str:
    return hasher.hash(PASSWORD)


class Tenant(Struct, frozen=True, kw_only=True):
    """One organization, seen by one signed-in member."""

    organization_id: UUID
    user_id: UUID
    slug: str
    email: str
    role: str
    client: httpx.AsyncClient
    """Sends the member's access token with every request."""
    application: Application

    @property
    def database(self) -> Database:
        return self.application.litestar.state.services.database

    @asynccontextmanager
    async def system(self) -> AsyncGenerator[AsyncSession]:
        """A session for changing who may do what past the routes; the application knows of it afterwards."""
        async with self.database.system() as session:
            yield session
        await self.catch_up()

    async def catch_up(self) -> None:
        """Have the application know what was changed past it, as a route that changes it does before it answers."""
        await self.application.litestar.state.services.catch_up()

    def ctx(self) -> Ctx:
        """A context for calling services directly. The test commits and closes it."""
        runtime = self.application.runtime
        principal = Principal(
            kind=PrincipalKind.USER,
            organization_id=self.organization_id,
            user_id=self.user_id,
            role=self.role,
            permissions=frozenset(permission.name for permission in runtime.permissions),
        )
        return Ctx(
            principal=principal,
            database=self.database,
            registry=runtime.registry,
            cursors=runtime.cursors,
            modules=runtime.registry.modules.all_on(),
        )

    async def run_jobs(self) -> int:
        """Run this organization's due jobs to the end, here and now, as a worker would; returns how many."""
        runtime = self.application.runtime
        runner = JobRunner(
            database=self.database,
            registry=runtime.registry,
            cursors=runtime.cursors,
            modules=self.application.litestar.state.services.modules,
            lease_seconds=runtime.settings.job_lease,
            providers=runtime.providers,
        )
        count = 0
        while True:
            due = await self.database.as_system(_DUE, organization_id=self.organization_id)
            ids: list[UUID] = [row["id"] for row in due]
            if not ids:
                return count
            for job_id in ids:
                await runner.run(self.organization_id, job_id)
            count += len(ids)

    async def make_jobs_due(self) -> None:
        """Let the patience between attempts be over."""
        async with self.database.system() as system:
            await system.execute(
                update(OutboxJob)
                .where(OutboxJob.organization_id == self.organization_id, OutboxJob.done_at.is_(None))
                .values(not_before=func.now())
            )


@asynccontextmanager
async def running(application: Application) -> AsyncGenerator[Application]:
    """The application, started, until the block is left.

    It lives in a task of its own: a lifespan must end in the task that began it, and fixtures end in another.
    """
    serving, stop = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with application.litestar.lifespan():
            serving.set()
            await stop.wait()

    task = asyncio.create_task(serve())
    started = asyncio.create_task(serving.wait())
    await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.is_set():
        await task
    yield application
    stop.set()
    await task


def client_of(application: Application, *, token: str | None = None) -> httpx.AsyncClient:
    """A client of the application in this process. Errors of the application are answers, as they are over a wire."""
    address = str(FIRST_ADDRESS + next(_CLIENTS))  # each its own: sign-ins that one fails count against no other
    transport = httpx.ASGITransport(application, raise_app_exceptions=False, client=(address, 40_000))  # type: ignore[arg-type]
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers)


async def make_tenant(application: Application, slug: str | None = None) -> Tenant:
    """A new organization with its owner, signed in."""
    slug = slug or f"t-{uuid4().hex[:12]}"
    database: Database = application.litestar.state.services.database
    email = f"owner@{slug}.example"
    made = await create_organization(
        database,
        name=slug.title(),
        slug=slug,
        owner_email=email,
        owner_names=("Olu", "Owner"),
        password_hash=password_hash(),
    )
    if made is None:
        raise LookupError(f"{slug!r} is taken")
    await application.litestar.state.services.modules.of(made.organization_id)  # the first ones are decided on, for all
    return await _signed_in(
        application, made.organization_id, made.owner_id, slug=slug, email=email, role=Role.OWNER.value
    )


async def make_member(tenant: Tenant, role: Role) -> Tenant:
    """Another member of the tenant's organization, in a role, signed in."""
    user_id, email = new_id(), f"{role.value}-{uuid4().hex[:8]}@{tenant.slug}.example"
    async with tenant.database.system() as system:
        values: dict[str, Any] = {"id": user_id, "organization_id": tenant.organization_id, "email": email}
        await system.execute(insert(User).values(**values, password_hash=password_hash(), is_verified=True))
        await system.execute(
            insert(Membership).values(
                organization_id=tenant.organization_id, id=new_id(), user_id=user_id, role=role.value
            )
        )
    return await _signed_in(
        tenant.application, tenant.organization_id, user_id, slug=tenant.slug, email=email, role=role.value
    )


async def _signed_in(
    application: Application, organization_id: UUID, user_id: UUID, *, slug: str, email: str, role: str
) -> Tenant:
    """By a session that is opened without a password: proving one takes longer than most tests."""
    tokens = await application.litestar.state.identity.enter(user_id, slug, ORIGIN, second_factor_at=None)
    return Tenant(
        organization_id=organization_id,
        user_id=user_id,
        slug=slug,
        email=email,
        role=role,
        client=client_of(application, token=tokens.access_token),
        application=application,
    )


async def make_operator(tenant: Tenant, *, writing: bool = False) -> Tenant:
    """The tenant's own person, who operates the platform from now on: in the local environment, without more ado.

    `writing` is for impersonation.
    """
    await grant_operator(tenant.database, tenant.email, writing=writing, needs_second_factor=False)
    return tenant
