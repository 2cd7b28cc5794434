"""Switching a module for one organization: all that hangs together changes in one transaction, or nothing does."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select

from core import clock
from core.errors import Conflict, Invalid, NotFound
from core.plugs.switchboard import ModuleSwitched, Switch
from core.tasks.models import DomainEvent
from core.tasks.schedule import Scheduler
from core.testing.tenants import make_tenant
from core.toggles.models import ModuleState, OrganizationModule
from tests.plugs.mall import BETWEEN_STEPS, Mall, Shelves, ShopSettings, count_all, count_slowly


async def rows(mall: Mall) -> dict[str, OrganizationModule]:
    async with mall.tenant.database.system() as system:
        found = await system.scalars(select(OrganizationModule).where(OrganizationModule.organization_id == mall.id))
        return {row.module: row for row in found}


async def states(mall: Mall) -> dict[str, str]:
    return {name: row.state for name, row in (await rows(mall)).items()}


async def test_enabling_a_module_enables_first_what_it_requires(mall: Mall) -> None:
    steps = await mall.enable("shop")

    assert [(step.module, step.before, step.after) for step in steps] == [
        ("stock", "available", "enabled"),
        ("shop", "available", "enabled"),
    ]
    assert mall.asked.calls == ["stock enabled", "shop enabled"]
    assert await mall.counted() == ["stock enabled, with ['stock']", "shop enabled, with ['shop', 'stock']"]


async def test_a_preview_tells_the_steps_and_does_none(mall: Mall) -> None:
    told = await mall.switchboard.preview(mall.id, Switch(module="shop", to=ModuleState.ENABLED))

    assert await states(mall) == {}
    assert told == await mall.enable("shop")


async def test_switching_to_the_present_state_does_nothing(mall: Mall) -> None:
    await mall.enable("shop")

    assert await mall.enable("shop") == []
    assert mall.asked.calls == ["stock enabled", "shop enabled"]


async def test_a_hook_that_refuses_leaves_everything_as_it_was(mall: Mall) -> None:
    mall.asked.raises["shop enabled"] = ValueError("no room")

    with pytest.raises(Conflict) as refused:
        await mall.enable("shop")

    assert refused.value.code == "module-hook-failed"
    assert await states(mall) == {}
    assert await mall.counted() == []


async def test_a_hook_that_hangs_is_given_up(mall: Mall, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.plugs.discovery.HOOK_SECONDS", 0.05)
    never = asyncio.Event()
    plug = mall.application.litestar.state.plugs
    original = plug._hooks

    async def hang(**_: object) -> None:
        await never.wait()

    monkeypatch.setattr(plug, "_hooks", lambda name: [("stock", hang)] if name == "tenant_enabled" else original(name))

    with pytest.raises(Conflict) as refused:
        await mall.enable("stock")

    assert "TimeoutError" in refused.value.detail


async def test_what_others_need_goes_off_only_with_them(mall: Mall) -> None:
    await mall.enable("shop")

    with pytest.raises(Conflict) as refused:
        await mall.suspend("stock")
    steps = await mall.suspend("stock", cascade=True)

    assert refused.value.code == "module-needed"
    assert "shop" in refused.value.detail
    assert [step.module for step in steps] == ["shop", "stock"]
    assert await states(mall) == {"shop": "suspended", "stock": "suspended"}


async def test_a_hook_that_raises_at_the_end_does_not_keep_a_module_on(mall: Mall) -> None:
    await mall.enable("stock")
    mall.asked.raises["stock disabled"] = ValueError("I stay")

    await mall.disable("stock")

    assert await states(mall) == {"stock": "disabled"}
    assert "stock disabled" not in await mall.counted(), "what the failed hook wrote is undone"


async def test_a_disabled_module_says_until_when_its_data_are_kept(mall: Mall) -> None:
    await mall.enable("stock")
    await mall.disable("stock", reason="They left")

    row = (await rows(mall))["stock"]
    assert row.retained_until is not None
    assert timedelta(days=29) < row.retained_until - clock.now() <= timedelta(days=30)
    assert row.reason == "They left"


@pytest.mark.parametrize("to", [ModuleState.SUSPENDED, ModuleState.DISABLED])
async def test_what_was_never_on_can_not_be_switched_off(mall: Mall, to: ModuleState) -> None:
    with pytest.raises(Conflict) as refused:
        await mall.switch("stock", to)

    assert refused.value.code == "module-not-in-use"


async def test_a_disabled_module_can_not_be_suspended(mall: Mall) -> None:
    await mall.enable("stock")
    await mall.disable("stock")

    with pytest.raises(Conflict, match="disabled"):
        await mall.suspend("stock")


async def test_a_module_that_is_not_installed_is_not_found(mall: Mall) -> None:
    with pytest.raises(NotFound):
        await mall.enable("absent")


async def test_the_whole_circle_can_be_gone_twice(mall: Mall) -> None:
    for _ in range(2):
        await mall.enable("stock")
        await mall.suspend("stock")
        await mall.enable("stock")
        await mall.disable("stock")

    assert mall.asked.calls == ["stock enabled", "stock disabled"] * 2, "a suspension asks no hook"


async def test_each_switch_is_an_event(mall: Mall) -> None:
    await mall.enable("shop")

    async with mall.tenant.database.system() as system:
        payloads = await system.scalars(
            select(DomainEvent.payload).where(
                DomainEvent.organization_id == mall.id, DomainEvent.type == ModuleSwitched.type
            )
        )
        assert {payload["module"]: payload["after"] for payload in payloads} == {"stock": "enabled", "shop": "enabled"}


async def test_of_ten_switches_at_once_one_does_the_work(mall: Mall) -> None:
    done = await asyncio.gather(*(mall.enable("shop") for _ in range(10)))

    assert sorted(len(steps) for steps in done) == [0] * 9 + [2]
    assert mall.asked.calls == ["stock enabled", "shop enabled"]


async def test_another_organization_keeps_what_it_has(mall: Mall) -> None:
    other = await make_tenant(mall.application)

    await mall.enable("shop")

    assert (await other.client.get("/api/v1/shop/window")).status_code == 404
    assert (await mall.tenant.client.get("/api/v1/shop/window")).status_code == 200


# --- while it is off ---


async def test_a_route_of_a_module_that_is_off_is_not_found(mall: Mall) -> None:
    answers = [await mall.tenant.client.get("/api/v1/shop/window")]
    await mall.enable("shop")
    answers.append(await mall.tenant.client.get("/api/v1/shop/window"))
    await mall.suspend("shop")
    answers.append(await mall.tenant.client.get("/api/v1/shop/window"))

    assert [answer.status_code for answer in answers] == [404, 200, 404]
    assert answers[2].json()["code"] == "module-not-enabled"


async def test_the_tenants_openapi_document_shows_what_is_on(mall: Mall) -> None:
    before = (await mall.tenant.client.get("/openapi.json")).json()
    await mall.enable("shop")
    after = (await mall.tenant.client.get("/openapi.json")).json()

    assert set(after["paths"]) - set(before["paths"]) == {"/api/v1/shop/window"}


async def test_a_job_of_a_module_that_is_off_waits_and_runs_when_it_is_on_again(mall: Mall) -> None:
    await mall.enable("stock")
    job_id = await mall.enqueue(count_all)
    await mall.suspend("stock")
    await mall.run(job_id)
    held = await mall.job(job_id)
    await mall.enable("stock")
    await mall.run(job_id)

    assert held.held_at is not None
    assert held.attempts == 0
    assert "everything" in await mall.counted()
    assert (await mall.job(job_id)).done_at is not None


async def test_a_job_that_slipped_past_the_switch_is_put_aside_without_having_failed(mall: Mall) -> None:
    """Enqueued by a process that had not heard of the switch yet."""
    await mall.enable("stock")
    ctx = await mall.ctx()
    await mall.suspend("stock")
    job_id = ctx.enqueue(count_all)
    await ctx.commit()
    await ctx.close()

    await mall.run(job_id)

    job = await mall.job(job_id)
    assert (job.held_at is not None, job.attempts, job.last_error, job.lease) == (True, 0, None, None)


async def test_a_running_job_stops_at_its_checkpoint_and_goes_on_from_there(mall: Mall) -> None:
    await mall.enable("stock")
    job_id = await mall.enqueue(count_slowly, steps=4)
    BETWEEN_STEPS.then[1] = mall.suspend
    await mall.run(job_id)
    while_off = [what for what in await mall.counted() if what.startswith("step")]
    await mall.enable("stock")
    await mall.run(job_id)

    steps = [what for what in await mall.counted() if what.startswith("step")]
    assert while_off == ["step 0", "step 1", "step 2"], "what was done before the checkpoint stays"
    assert steps == ["step 0", "step 1", "step 2", "step 3"]
    assert (await mall.job(job_id)).done_at is not None


async def test_events_wait_for_a_suspended_module_and_pass_a_disabled_one_by(mall: Mall) -> None:
    await mall.enable("stock")
    await mall.suspend("stock")
    await mall.sell(1)
    await mall.tenant.run_jobs()
    waiting = await mall.counted()
    await mall.disable("stock")
    await mall.sell(2)
    await mall.enable("stock")
    await mall.tenant.run_jobs()

    assert "sold 1" not in waiting
    assert [what for what in await mall.counted() if what.startswith("sold")] == ["sold 1"]


async def test_no_schedule_fires_for_who_has_the_module_off(mall: Mall) -> None:
    other = await make_tenant(mall.application)
    await mall.enable("stock")
    scheduler = Scheduler(database=mall.tenant.database, registry=mall.runtime.registry)
    followers = scheduler._followers(mall.runtime.plugs.schedules[0])

    async with mall.tenant.database.system() as system:
        found = set(await system.scalars(followers))

    assert mall.id in found
    assert other.organization_id not in found


async def test_what_another_module_provides_is_there_while_that_module_is_on(mall: Mall) -> None:
    await mall.enable("shop")
    with_stock = (await mall.tenant.client.get("/api/v1/shop/window")).json()
    ctx = await mall.ctx()
    ctx.modules = type(ctx.modules)(enabled=frozenset({"shop"}), settings=ctx.modules.settings)

    assert with_stock == {"currency": "EUR", "items": 3}
    assert ctx.use(Shelves) is None


# --- settings ---


async def test_settings_are_given_with_the_switch_and_read_as_their_type(mall: Mall) -> None:
    await mall.enable("shop", settings=ShopSettings(currency="INR"))

    assert (await mall.tenant.client.get("/api/v1/shop/window")).json()["currency"] == "INR"


async def test_a_modules_own_check_can_refuse_settings(mall: Mall) -> None:
    with pytest.raises(Invalid) as refused:
        await mall.enable("shop", settings=ShopSettings(currency="XXX"))

    assert refused.value.code == "no-currency"
    assert await states(mall) == {}


async def test_settings_are_versioned(mall: Mall) -> None:
    await mall.enable("shop")
    client = mall.tenant.client
    read = await client.get("/api/v1/modules/shop")
    body = {"settings": {"currency": "USD"}}
    first = await client.put("/api/v1/modules/shop/settings", json=body, headers={"If-Match": read.headers["etag"]})
    second = await client.put("/api/v1/modules/shop/settings", json=body, headers={"If-Match": read.headers["etag"]})

    assert (first.status_code, second.status_code) == (200, 412)
    assert first.json()["settings"] == {"currency": "USD", "discount": 0}
    assert first.json()["settings_schema"]["$defs"]["ShopSettings"]["properties"]["discount"]["type"] == "integer"


async def test_every_bad_setting_is_told(mall: Mall) -> None:
    await mall.enable("shop")
    bad = {"settings": {"currency": 3, "discount": "much", "colour": "red"}}

    answer = await mall.tenant.client.put("/api/v1/modules/shop/settings", json=bad)

    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"currency", "discount", "colour"}


async def test_settings_of_an_older_type_still_serve(mall: Mall) -> None:
    await mall.enable("shop")
    async with mall.tenant.database.system() as system:
        row = (
            await system.scalars(
                select(OrganizationModule).where(
                    OrganizationModule.organization_id == mall.id, OrganizationModule.module == "shop"
                )
            )
        ).one()
        row.settings = {"currency": "GBP", "discount": "a lot", "gone": True}
    mall.application.litestar.state.services.modules.forget(str(mall.id))

    ctx = await mall.ctx()

    assert ctx.settings(ShopSettings) == ShopSettings(currency="GBP", discount=0)
