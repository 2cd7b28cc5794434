"""Rules about background work: it keeps organizations apart, waits while the module is off, and takes effect once."""

import copy
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import structs
from sqlalchemy import Table, func, select, text, update

from core.db.models import Base
from core.ids import new_id
from core.tasks.jobs import JobHeld, JobRunner
from core.tasks.models import OutboxJob
from core.tasks.registry import Actor, ActorFunction
from core.testing.attacks import World, changed, fingerprint, furnish, row_counts
from core.testing.conformance.addressing import Addresses
from core.testing.conformance.candidate import Candidate, Rule
from core.testing.fillings import Filling
from core.testing.samples import sample
from core.testing.tenants import Tenant
from core.toggles.models import ModuleState

TRACES = ("core.domain_events", "core.outbox")
"""What a job leaves beyond its module's own tables."""


class CutOff(Exception):
    """Stands for the end of a worker, just before its job would have committed."""


async def jobs_keep_organizations_apart(candidate: Candidate) -> Sequence[str]:
    """A job of one organization that is handed another's ids changes and takes along nothing of the other's.

    `ctx` sees to it, so long as a job goes by `ctx` and remembers nothing from one organization to the next.
    """
    acme, globex = await candidate.tenants()
    found: list[str] = []
    for actor in candidate.jobs:
        filling = filling_of(candidate, actor)
        theirs = await furnish(acme, filling, candidate.tables)
        await run(candidate, acme, await put(acme, actor, filling, theirs))
        before = await fingerprint(acme, [candidate.name])
        await run(candidate, globex, await put(globex, actor, filling, structs.replace(theirs, is_attacked=True)))
        after = await fingerprint(acme, [candidate.name])
        found += [f"{actor.name} changes {table} of another organization" for table in changed(before, after)]
        if await _is_written(candidate, globex, theirs.mark):
            found.append(f"{actor.name} copies what is another organization's")
    return found


async def jobs_wait_while_it_is_off(candidate: Candidate) -> Sequence[str]:
    """While an organization has the module suspended, its jobs wait; on again, they run to their end. One that was
    running stops at its next checkpoint: `ctx.checkpoint()` raises what no actor may catch.
    """
    tenant, _ = await candidate.tenants()
    found: list[str] = []
    for actor in candidate.jobs:
        filling = filling_of(candidate, actor)
        job_id = await put(tenant, actor, filling, await furnish(tenant, filling, candidate.tables))
        await candidate.switch(tenant, ModuleState.SUSPENDED)
        await run(candidate, tenant, job_id)
        held = await _job(tenant, job_id)
        if held.held_at is None or held.attempts:
            found.append(f"{actor.name} runs while the module is off")
        found += await _ends(candidate, tenant, actor, job_id)
        found += await _stops_half_way(candidate, tenant, actor, filling)
    return found


async def jobs_take_effect_once(candidate: Candidate) -> Sequence[str]:
    """A job whose worker ends just before the commit, and that is run again and then delivered once more, leaves as
    many rows as one that runs undisturbed. It does if it never commits by itself; one that has checkpoints looks what
    it has done before it goes on.
    """
    acme, globex = await candidate.tenants()
    found: list[str] = []
    for actor in candidate.jobs:
        filling = filling_of(candidate, actor)
        world = await furnish(acme, filling, candidate.tables)
        before = await row_counts(acme, _written_to(candidate))
        job_id = await put(acme, actor, filling, world)
        await run(candidate, acme, job_id)
        job = await _job(acme, job_id)
        if job.done_at is None:
            found.append(f"{actor.name} fails ({job.last_error}): say how it is called under fillings")
            continue
        once = _more(before, await row_counts(acme, _written_to(candidate)))
        twice = await _disturbed(candidate, globex, actor, filling)
        found += [
            f"{actor.name}, run again after a crash, leaves {twice[table]} rows in {table} instead of {once[table]}"
            for table in once
            if once[table] != twice[table]
        ]
    return found


def filling_of(candidate: Candidate, actor: Actor) -> Filling:
    """The author's, or one that is made of the arguments' types; for a subscriber, of its event's."""
    given = candidate.allowances.fillings.get(actor.name)
    lead = Addresses(candidate.tables).lead
    return given or Filling(json=sample(actor.event or actor.arguments, lead))


async def put(tenant: Tenant, actor: Actor, filling: Filling, world: World) -> UUID:
    """Have a job of the organization in the outbox, about the rows of `world`."""
    arguments = world.fill(filling.json or {})
    job = OutboxJob(
        organization_id=tenant.organization_id,
        id=new_id(),
        actor=actor.name,
        queue=actor.queue,
        arguments={"payload": arguments} if actor.event is not None else arguments,
        user_id=tenant.user_id,
    )
    async with tenant.database.system() as system:
        system.add(job)
    return job.id


async def run(candidate: Candidate, tenant: Tenant, job_id: UUID, **instead: ActorFunction) -> None:
    """Deliver the job, as a worker would get it; `instead` has other functions for some actors."""
    runtime = candidate.runtime
    registry = copy.copy(runtime.registry)
    changed = {name: structs.replace(registry.actors[name], function=function) for name, function in instead.items()}
    registry.actors = registry.actors | changed
    async with tenant.database.system() as system:
        await system.execute(update(OutboxJob).where(OutboxJob.id == job_id).values(not_before=func.now()))
    runner = JobRunner(
        database=tenant.database,
        registry=registry,
        cursors=runtime.cursors,
        modules=candidate.application.litestar.state.services.modules,
        lease_seconds=runtime.settings.job_lease,
        providers=runtime.providers,
    )
    await runner.run(tenant.organization_id, job_id)


async def _ends(candidate: Candidate, tenant: Tenant, actor: Actor, job_id: UUID) -> list[str]:
    """Once the module is on again."""
    await candidate.switch(tenant, ModuleState.ENABLED)
    await run(candidate, tenant, job_id)
    job = await _job(tenant, job_id)
    return [] if job.done_at else [f"{actor.name} doesn't end after the module is on again: {job.last_error}"]


async def _stops_half_way(candidate: Candidate, tenant: Tenant, actor: Actor, filling: Filling) -> list[str]:
    """The module is switched off at the moment when the job begins."""
    overheard: list[str] = []

    async def switched_off(ctx: Any, **arguments: Any) -> None:
        told: list[JobHeld] = []
        checkpoint = ctx.checkpoint

        async def listening() -> None:
            try:
                await checkpoint()
            except JobHeld as held:
                told.append(held)
                raise

        ctx.checkpoint = listening
        await candidate.switch(tenant, ModuleState.SUSPENDED)
        await actor.function(ctx, **arguments)
        if told:
            overheard.append(f"{actor.name} goes on after a checkpoint told it to stop: catch Exception at the most")

    job_id = await put(tenant, actor, filling, await furnish(tenant, filling, candidate.tables))
    await run(candidate, tenant, job_id, **{actor.name: switched_off})
    return overheard + await _ends(candidate, tenant, actor, job_id)


async def _disturbed(candidate: Candidate, tenant: Tenant, actor: Actor, filling: Filling) -> dict[str, int]:
    """How many rows more there are by table, after a run that is cut off, one that isn't, and a delivery too many."""

    async def cut_off(ctx: Any, **arguments: Any) -> None:
        await actor.function(ctx, **arguments)
        raise CutOff

    world = await furnish(tenant, filling, candidate.tables)
    before = await row_counts(tenant, _written_to(candidate))
    job_id = await put(tenant, actor, filling, world)
    await run(candidate, tenant, job_id, **{actor.name: cut_off})
    await run(candidate, tenant, job_id)
    await run(candidate, tenant, job_id)
    return _more(before, await row_counts(tenant, _written_to(candidate)))


async def _job(tenant: Tenant, job_id: UUID) -> OutboxJob:
    async with tenant.database.system() as system:
        return (await system.scalars(select(OutboxJob).where(OutboxJob.id == job_id))).one()


def _written_to(candidate: Candidate) -> list[Table]:
    return [*candidate.tables, *(Base.metadata.tables[name] for name in TRACES)]


def _more(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {table: after[table] - count for table, count in before.items()}


async def _is_written(candidate: Candidate, tenant: Tenant, mark: str) -> bool:
    """Whether a text stands anywhere in what the organization has of the module."""
    own = "organization_id = :id AND t::text LIKE :mark"
    places = [f"EXISTS (SELECT FROM {table.fullname} AS t WHERE {own})" for table in _written_to(candidate)]
    async with tenant.database.system() as system:
        found = text(f"SELECT {' OR '.join(places)}")
        return bool(await system.scalar(found, {"id": tenant.organization_id, "mark": f"%{mark}%"}))


RULES: tuple[Rule, ...] = (jobs_keep_organizations_apart, jobs_wait_while_it_is_off, jobs_take_effect_once)
