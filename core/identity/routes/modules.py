"""The organization's modules and their settings, for its own people; operators switch them."""

from typing import Any

from litestar.datastructures import State
from litestar.params import FromPath, JSONBody

from core.db.pages import Page
from core.http.access import requires
from core.http.handlers import get, put
from core.http.responses import IfMatch, Tagged, tagged
from core.identity import modules
from core.identity.module_schemas import ModuleDetails, ModuleOut, SettingsIn
from core.identity.permissions import MODULES_READ, MODULES_WRITE
from core.tasks.context import Ctx


@get("/", operation_id="list_modules", summary="The organization's modules", guards=[requires(MODULES_READ)])
async def list_modules(ctx: Ctx, state: State) -> Page[ModuleOut]:
    return Page(items=await modules.list_modules(ctx, state.plugs), next_cursor=None)


@get(
    "/{name:str}",
    operation_id="get_module",
    summary="A module, with its settings and the schema to make a form of",
    guards=[requires(MODULES_READ)],
)
async def get_module(ctx: Ctx, state: State, name: FromPath[str]) -> Tagged[ModuleDetails]:
    found = await modules.get_module(ctx, state.plugs, name)
    return tagged(found, version=found.row_version)


@put(
    "/{name:str}/settings",
    operation_id="change_module_settings",
    summary="Set a module's settings",
    guards=[requires(MODULES_WRITE)],
)
async def change_module_settings(
    ctx: Ctx, state: State, name: FromPath[str], data: JSONBody[SettingsIn], if_match: IfMatch = None
) -> Tagged[ModuleDetails]:
    await modules.change_settings(ctx, state.plugs, state.switchboard, name, data.settings, if_match=if_match)
    found = await modules.get_module(ctx, state.plugs, name)
    return tagged(found, version=found.row_version)


MODULE_ROUTES: list[Any] = [list_modules, get_module, change_module_settings]
