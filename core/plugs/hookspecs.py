"""The hooks: moments at which the core asks a module. Each runs by itself and for a limited time, so one that raises or
hangs harms no other.

A module marks its functions with `@hook` and names them in its manifest: `Module(…, hooks=sys.modules[__name__])`.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import pluggy

from core.tasks.context import Ctx

PROJECT = "plugs"
hookspec = pluggy.HookspecMarker(PROJECT)
hook = pluggy.HookimplMarker(PROJECT)


@hookspec
def lifespan() -> AbstractAsyncContextManager[None]:  # pyright: ignore[reportReturnType]
    """An async context manager that is open while a process (API or worker) serves.

    One that can't be opened is logged, and the process serves without it.
    """


@hookspec
async def validate_settings(ctx: Ctx, settings: Any) -> None:
    """Look at settings that an organization is about to get, beyond what their type says. Raise `Invalid` to refuse
    them. `settings` is of the manifest's type."""


@hookspec
async def tenant_enabled(ctx: Ctx) -> None:
    """The organization gets the module. What this writes commits together with the switch; raising refuses it.

    It is called again after a disabled module is enabled again, so what it makes it must first look for.
    """


@hookspec
async def tenant_disabled(ctx: Ctx) -> None:
    """The organization loses the module; its data stay for now. Raising is logged and doesn't stop the switch."""


@hookspec
async def same_subject(ctx: Ctx, subject_id: UUID) -> list[UUID]:  # pyright: ignore[reportReturnType]
    """Other ids by which the module knows the same person, as after a merge. They are exported and erased alike, in
    all modules."""


@hookspec
def export_subject(ctx: Ctx, subject_id: UUID) -> AsyncIterator[dict[str, Any]]:  # pyright: ignore[reportReturnType]
    """Yield what the module holds about a person beyond the columns marked `SubjectId` and `Pii`."""


@hookspec
async def suppress_subject(ctx: Ctx, subject_id: UUID) -> None:
    """A person is about to be erased, and all columns still hold what they did: keep what it takes to know them again
    (`ctx.fingerprint`) where somebody would import them anew. It is in the transaction of the erasure."""


@hookspec
async def erase_subject(ctx: Ctx, subject_id: UUID) -> None:
    """Remove what the module holds about a person beyond the columns marked `SubjectId` and `Pii`."""


@hookspec
async def seed_demo(ctx: Ctx) -> None:
    """Add plausible demo data to the organization of `ctx`. Only ever called by the local default."""
