"""Rules about hooks: switching the module on twice is like once, and one that fails leaves nothing behind."""

import inspect
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from msgspec import structs
from sqlalchemy import select

from core.ids import new_id
from core.plugs.discovery import Plugs
from core.plugs.hookspecs import PROJECT, hook
from core.plugs.switchboard import Switchboard
from core.privacy.rights import erase_subject
from core.testing.attacks import changed, fingerprint, row_counts
from core.testing.conformance.candidate import Candidate, Rule
from core.testing.tenants import Tenant, make_tenant
from core.toggles.models import ModuleState, OrganizationModule


class Broken(Exception):
    """Raised in the place of a hook, after it has done its work."""


async def switching_twice_is_like_once(candidate: Candidate) -> Sequence[str]:
    """An organization that enables the module, disables it and enables it again has the rows that it had after the
    first time. A hook looks for what it makes before it makes it, and neither hook fails the second time.
    """
    tenant = await make_tenant(candidate.application)
    try:
        await candidate.switch(tenant, ModuleState.ENABLED)
        once = await row_counts(tenant, candidate.tables)
        await candidate.switch(tenant, ModuleState.DISABLED)
        await candidate.switch(tenant, ModuleState.DISABLED)
        await candidate.switch(tenant, ModuleState.ENABLED)
        await candidate.switch(tenant, ModuleState.ENABLED)
    except Exception as error:  # whatever a hook raises is the answer
        return [f"it can't be switched on, off and on again: {error}"]
    twice = await row_counts(tenant, candidate.tables)
    return [
        f"enabling it again makes {twice[table] - once[table]} more rows in {table}: tenant_enabled looks first"
        for table in once
        if twice[table] != once[table]
    ]


async def failing_hooks_leave_nothing(candidate: Candidate) -> Sequence[str]:
    """A hook that raises at its end leaves nothing of what it did: an enabling is refused, a disabling goes on, an
    erasure can be tried again, and a lifespan keeps no process from serving. Hooks write by `ctx` and never commit.
    """
    tenant = await make_tenant(candidate.application)
    plugs = _with_raising_hooks(candidate)
    board = _switchboard(candidate, plugs)
    found: list[str] = []
    if _has(candidate, "tenant_enabled") or _has(candidate, "validate_settings"):
        found += await _refused(candidate, tenant, board)
    await candidate.switch(tenant, ModuleState.ENABLED)
    if _has(candidate, "erase_subject"):
        found += await _unerased(candidate, tenant, plugs)
    if _has(candidate, "tenant_disabled"):
        found += await _disabled(candidate, tenant, board)
    try:
        async with plugs.lifespan():
            pass
    except BaseException as error:
        found.append(f"its lifespan takes the process with it: {type(error).__name__}")
    return found


async def _refused(candidate: Candidate, tenant: Tenant, board: Switchboard) -> list[str]:
    if await _state(candidate, tenant) is ModuleState.ENABLED:
        await candidate.switch(tenant, ModuleState.DISABLED)
    before = await fingerprint(tenant)
    try:
        await candidate.switch(tenant, ModuleState.ENABLED, board)
    except Exception:  # that is what is asked for
        after = await fingerprint(tenant)
        return [
            f"tenant_enabled fails and leaves something in {t}: a hook never commits" for t in changed(before, after)
        ]
    return ["tenant_enabled fails and the module is enabled all the same"]


async def _unerased(candidate: Candidate, tenant: Tenant, plugs: Plugs) -> list[str]:
    before = await fingerprint(tenant, [candidate.name])
    ctx = tenant.ctx()
    try:
        erased = {each.module: each for each in await erase_subject(ctx, plugs, new_id())}
    finally:
        await ctx.close()
    lost = erased[candidate.name].error is None or before != await fingerprint(tenant, [candidate.name])
    return ["erase_subject fails and leaves half of its work: a hook never commits"] if lost else []


async def _disabled(candidate: Candidate, tenant: Tenant, board: Switchboard) -> list[str]:
    before = await fingerprint(tenant, [candidate.name])
    await candidate.switch(tenant, ModuleState.DISABLED, board)
    if await _state(candidate, tenant) is not ModuleState.DISABLED:
        return ["tenant_disabled fails and keeps the module on"]
    after = await fingerprint(tenant, [candidate.name])
    return [f"tenant_disabled fails and leaves something in {t}: a hook never commits" for t in changed(before, after)]


async def _state(candidate: Candidate, tenant: Tenant) -> ModuleState | None:
    async with tenant.database.system() as system:
        found = await system.scalar(
            select(OrganizationModule.state).where(
                OrganizationModule.organization_id == tenant.organization_id,
                OrganizationModule.module == candidate.name,
            )
        )
    return None if found is None else ModuleState(found)


def _has(candidate: Candidate, name: str) -> bool:
    return hasattr(getattr(candidate.plug.module.hooks, name, None), f"{PROJECT}_impl")


def _with_raising_hooks(candidate: Candidate) -> Plugs:
    """The same modules, and each of the candidate's hooks raises once it has done its work."""
    hooks = candidate.plug.module.hooks
    named = {} if hooks is None else {name: getattr(hooks, name) for name in dir(hooks) if _has(candidate, name)}
    raising = SimpleNamespace(**{name: hook(_raising(name, function)) for name, function in named.items()})
    others = [plug for plug in candidate.runtime.plugs if plug.name != candidate.name]
    return Plugs(
        [*others, structs.replace(candidate.plug, module=structs.replace(candidate.plug.module, hooks=raising))]
    )


def _raising(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A hook of the same kind and the same parameters, for pluggy looks at both."""
    match name:
        case "lifespan":
            return _raising_lifespan(function)
        case "export_subject":
            return _raising_stream(function)
        case _:
            return _raising_coroutine(function)


def _raising_lifespan(function: Callable[..., Any]) -> Callable[..., Any]:
    @asynccontextmanager
    async def raising() -> AsyncGenerator[None]:
        async with function():
            raise Broken
        yield

    return raising


def _raising_stream(function: Callable[..., Any]) -> Callable[..., Any]:
    async def raising(ctx: Any, subject_id: Any) -> AsyncGenerator[Any]:
        async for row in function(ctx=ctx, subject_id=subject_id):
            yield row
        raise Broken

    return raising


def _raising_coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    async def raising(**arguments: Any) -> None:
        await function(**arguments)
        raise Broken

    raising.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return raising


def _switchboard(candidate: Candidate, plugs: Plugs) -> Switchboard:
    return structs.replace(candidate.runtime, plugs=plugs).switchboard(candidate.database)


RULES: tuple[Rule, ...] = (switching_twice_is_like_once, failing_hooks_leave_nothing)
