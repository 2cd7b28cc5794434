"""The hooks: moments at which the core asks every module. Each runs by itself, so one that raises harms no other.

A module marks its functions with `@hook` and names them in its manifest: `Module(…, hooks=sys.modules[__name__])`.
"""

from contextlib import AbstractAsyncContextManager

import pluggy

from core.tasks.context import Ctx

PROJECT = "plugs"
hookspec = pluggy.HookspecMarker(PROJECT)
hook = pluggy.HookimplMarker(PROJECT)


@hookspec
def lifespan() -> AbstractAsyncContextManager[None]:  # pyright: ignore[reportReturnType]
    """An async context manager that is open while a process (API or worker) serves."""


@hookspec
async def seed_demo(ctx: Ctx) -> None:
    """Add plausible demo data to the organization of `ctx`. Only ever called by the local default."""
