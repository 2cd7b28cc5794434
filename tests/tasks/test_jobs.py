"""Running a job: one effect however often it is delivered, patience with one that fails, none for a lost lease."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from core.db.database import connect
from core.tasks.context import Ctx
from core.tasks.jobs import RETRY_SECONDS
from core.tasks.models import MAX_ATTEMPTS
from core.testing.tenants import Tenant
from modules.networking.queries import CONTACTS
from tests.tasks.conftest import LEASE_SECONDS, RAN_OUT, Bench, Counted

DELIVERIES = 20
NOTEBOOK = (
    "CREATE TABLE public.notebook (job uuid, waits text)",
    "GRANT ALL ON public.notebook TO plugs_app, plugs_system",
    """CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE public.notebook SET waits = current_setting('synchronous_commit') WHERE job = NEW.job;
        RETURN NULL;
    END $$""",
    "CREATE CONSTRAINT TRIGGER noted AFTER INSERT ON public.notebook DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION public.note()",
)


@pytest.fixture
async def notebook(bench: Bench) -> AsyncGenerator[None]:
    """Rows that learn, as they are committed, what their commit waits for."""
    superuser = await connect(bench.tenant.application.runtime.settings.owner_url, role=None, name="notebook")
    try:
        for statement in NOTEBOOK:
            await superuser.execute(statement)
        yield
        await superuser.execute("DROP TABLE public.notebook; DROP FUNCTION public.note()")
    finally:
        await superuser.close()


async def count_and_fail(ctx: Ctx) -> None:
    ctx.emit(Counted(number=1))
    await ctx.db.flush()
    raise LookupError("the reason")


async def test_a_job_takes_effect_once_however_often_it_is_delivered(bench: Bench) -> None:
    async def count_slowly(ctx: Ctx, *, number: int) -> None:
        ctx.emit(Counted(number=number))
        await ctx.db.flush()
        await asyncio.sleep(0.05)

    job_id = await bench.enqueue(bench.actor(count_slowly), number=1)

    await asyncio.gather(*(bench.run(job_id) for _ in range(DELIVERIES)))
    await bench.run(job_id)

    assert await bench.effects() == [1]
    job = await bench.job(job_id)
    assert (job.done_at is not None, job.attempts, job.lease, job.last_error) == (True, 1, None, None)


async def test_a_job_that_raises_is_rolled_back_and_due_again_after_a_while(bench: Bench) -> None:
    job_id = await bench.enqueue(bench.actor(count_and_fail))

    await bench.run(job_id)

    assert await bench.effects() == []
    job = await bench.job(job_id)
    assert (job.done_at, job.parked_at, job.lease, job.last_error) == (None, None, None, "LookupError: the reason")


async def test_patience_grows_with_each_failure_and_the_twelfth_parks_the_job(bench: Bench) -> None:
    job_id = await bench.enqueue(bench.actor(count_and_fail))
    waits: list[float] = []

    for _ in range(MAX_ATTEMPTS):
        await bench.change(job_id, not_before=RAN_OUT)
        await bench.run(job_id)
        waits.append(await bench.seconds_to_wait(job_id))

    expected = [*RETRY_SECONDS, *[RETRY_SECONDS[-1]] * (MAX_ATTEMPTS - len(RETRY_SECONDS))]
    assert waits == [pytest.approx(seconds, abs=1) for seconds in expected]
    job = await bench.job(job_id)
    assert (job.attempts, job.last_error) == (MAX_ATTEMPTS, "LookupError: the reason")
    assert job.parked_at is not None


async def test_a_parked_job_is_not_run(bench: Bench) -> None:
    job_id = await bench.enqueue(bench.counting, number=1)
    await bench.change(job_id, parked_at=RAN_OUT)

    await bench.run(job_id)

    assert await bench.effects() == []


async def test_a_delivery_left_over_does_not_cut_patience_short(bench: Bench) -> None:
    job_id = await bench.enqueue(bench.actor(count_and_fail))
    await bench.run(job_id)

    await asyncio.gather(*(bench.run(job_id) for _ in range(DELIVERIES)))

    assert (await bench.job(job_id)).attempts == 1


async def test_a_run_that_dies_between_checkpoints_resumes_and_neither_loses_nor_doubles(bench: Bench) -> None:
    dies = asyncio.Event()

    async def count_on(ctx: Ctx, *, until: int) -> None:
        for number in range(len(await bench.effects()), until):
            ctx.emit(Counted(number=number))
            if number == 3 and not dies.is_set():
                await ctx.db.flush()
                dies.set()
                await asyncio.Event().wait()
            await ctx.checkpoint()

    job_id = await bench.enqueue(bench.actor(count_on), until=6)
    first = asyncio.create_task(bench.run(job_id))
    await dies.wait()
    first.cancel()
    await asyncio.wait([first])
    assert await bench.effects() == [0, 1, 2]
    await bench.change(job_id, leased_until=RAN_OUT)

    await bench.run(job_id)

    assert await bench.effects() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("durable", "emits", "waits"), [(True, False, "local"), (False, False, "off"), (False, True, "local")]
)
async def test_a_checkpoint_waits_for_the_disk_unless_it_may_be_taken_back(
    bench: Bench, notebook: None, *, durable: bool, emits: bool, waits: str
) -> None:
    async def note(ctx: Ctx) -> None:
        await ctx.db.execute(text("SET LOCAL synchronous_commit = 'local'"))
        await ctx.db.execute(text("INSERT INTO public.notebook (job) VALUES (:job)"), {"job": ctx.job_id})
        if emits:
            ctx.emit(Counted(number=1))
        await ctx.checkpoint(durable=durable)

    job_id = await bench.enqueue(bench.actor(note))

    await bench.run(job_id)

    assert (await bench.job(job_id)).done_at is not None
    async with bench.tenant.database.system() as system:
        noted = await system.scalars(text("SELECT waits FROM public.notebook WHERE job = :job"), {"job": job_id})
        assert noted.all() == [waits]


async def test_a_job_whose_worker_died_is_due_as_soon_as_its_lease_ends(bench: Bench) -> None:
    begun = asyncio.Event()

    async def hang(ctx: Ctx) -> None:
        begun.set()
        await asyncio.Event().wait()

    job_id = await bench.enqueue(bench.actor(hang))
    await bench.change(job_id, sends=9)  # it had waited long in a queue, so the relay had grown patient
    await bench.relay().relay_once()
    run = asyncio.create_task(bench.run(job_id))
    await begun.wait()
    run.cancel()
    await asyncio.wait([run])

    assert await bench.relay().relay_once() == 0
    await bench.change(job_id, leased_until=RAN_OUT)
    assert await bench.relay().relay_once() == 1


@pytest.mark.parametrize("checkpoints", [True, False])
async def test_a_worker_that_lost_its_lease_writes_nothing(bench: Bench, *, checkpoints: bool) -> None:
    async def count_late(ctx: Ctx) -> None:
        ctx.emit(Counted(number=1))
        await ctx.db.flush()
        await bench.change(job_id, lease=thief)
        if checkpoints:
            await ctx.checkpoint()

    thief = uuid4()
    job_id = await bench.enqueue(bench.actor(count_late))

    await bench.run(job_id)

    job = await bench.job(job_id)
    assert await bench.effects() == []
    assert (job.lease, job.done_at, job.last_error) == (thief, None, None)


async def test_a_failure_after_the_lease_was_lost_does_not_touch_the_new_holder(bench: Bench) -> None:
    async def fail_late(ctx: Ctx) -> None:
        await bench.change(job_id, lease=thief)
        raise LookupError("too late")

    thief = uuid4()
    job_id = await bench.enqueue(bench.actor(fail_late))

    await bench.run(job_id)

    job = await bench.job(job_id)
    assert (job.lease, job.last_error) == (thief, None)


async def test_a_long_job_keeps_its_lease(bench: Bench) -> None:
    runs: list[UUID] = []

    async def take_longer_than_the_lease(ctx: Ctx) -> None:
        runs.append(job_id)
        await asyncio.sleep(LEASE_SECONDS * 1.2)
        ctx.emit(Counted(number=1))

    job_id = await bench.enqueue(bench.actor(take_longer_than_the_lease))
    run = asyncio.create_task(bench.run(job_id))
    while not run.done():
        await asyncio.sleep(LEASE_SECONDS / 8)
        await bench.run(job_id)

    assert len(runs) == 1
    assert await bench.effects() == [1]


async def test_the_tenant_comes_from_the_row_and_not_from_the_delivery(bench: Bench, globex: Tenant) -> None:
    tenants: list[UUID] = []

    async def look(ctx: Ctx) -> None:
        tenants.append(ctx.organization_id)

    job_id = await bench.enqueue(bench.actor(look))

    await bench.run(job_id, organization_id=globex.organization_id)
    assert tenants == []
    await bench.run(job_id)

    assert tenants == [bench.tenant.organization_id]


async def test_a_job_sees_nothing_of_another_tenant(bench: Bench, globex: Tenant) -> None:
    seen: list[object] = []

    async def look(ctx: Ctx) -> None:
        seen.append(await ctx.page(CONTACTS))

    created = await globex.client.post("/api/v1/networking/contacts", json={"first_name": "Canary"})
    assert created.status_code == 201

    await bench.run(await bench.enqueue(bench.actor(look)))

    assert len(seen) == 1
    assert b"Canary" not in bytes(seen[0])  # type: ignore[call-overload]
