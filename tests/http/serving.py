"""An application of its own for one test: other settings, or routes that no module has."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec import structs

from core.app import Application, create_app
from core.plugs.discovery import Plug, Plugs
from core.runtime import make_runtime
from core.sdk import Module, Permission
from core.settings import Settings
from core.testing.stage import runtime_on
from core.testing.tenants import Tenant, client_of, running

WRITE = Permission("scratch:write", "Break things")


@asynccontextmanager
async def serving(settings: Settings, *routes: Any) -> AsyncGenerator[Application]:
    """An application on these settings, with these routes below `/api/v1/scratch` where there are any."""
    module = Module(name="scratch", title="Scratch", permissions=[WRITE], routes=routes)
    plug = Plug(module=module, package="scratch", distribution="scratch", version="0", directory=Path("/nowhere"))
    strict = structs.replace(settings, on_bad_module="abort")
    application = create_app(make_runtime(strict, Plugs([plug])) if routes else runtime_on(settings))
    async with running(application):
        yield application


def client_for(application: Application, tenant: Tenant) -> httpx.AsyncClient:
    return client_of(application, token=tenant.client.headers["authorization"].removeprefix("Bearer "))
