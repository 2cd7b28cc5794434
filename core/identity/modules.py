"""An organization's modules: what it has, and what each is set to."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import select

from core.errors import FieldError, Invalid, NotFound
from core.http.bodies import convert_strictly
from core.http.conditions import check_if_match
from core.identity.module_schemas import ModuleDetails, ModuleOut
from core.plugs.discovery import Plug, Plugs
from core.plugs.switchboard import Switchboard
from core.tasks.context import Ctx
from core.tasks.holding import lock_modules
from core.toggles.catalogue import decode_settings
from core.toggles.models import ModuleState, OrganizationModule


async def list_modules(ctx: Ctx, plugs: Plugs) -> list[ModuleOut]:
    """Those that are installed, and those whose data the organization still has, by name."""
    rows = {row.module: row for row in await ctx.db.scalars(_mine(ctx))}
    return [_out(ModuleOut, plugs.plugs.get(name), name, rows.get(name)) for name in sorted({*plugs.plugs, *rows})]


async def get_module(ctx: Ctx, plugs: Plugs, name: str) -> ModuleDetails:
    row = await _row(ctx, name)
    plug = plugs.plugs.get(name)
    if plug is None and row is None:
        raise NotFound("There is no such module", code="module-not-found")
    kind = plug.module.settings if plug else None
    stored = row.settings if row else {}
    return _out(
        ModuleDetails,
        plug,
        name,
        row,
        settings=msgspec.to_builtins(decode_settings(stored, kind)) if kind else stored,
        settings_schema=msgspec.json.schema(kind) if kind else {},
        row_version=row.version if row else 0,
    )


async def change_settings(
    ctx: Ctx, plugs: Plugs, switchboard: Switchboard, name: str, settings: Mapping[str, Any], *, if_match: str | None
) -> None:
    """Set all of a module's settings; what is left out gets its default.

    Raises `NotFound` unless the module is on, `PreconditionFailed` where its settings changed since the client read
    them, and `Invalid` with every value that doesn't fit.
    """
    await lock_modules(ctx.db, ctx.organization_id)
    row = await _row(ctx, name)
    plug = plugs.plugs.get(name)
    if plug is None or row is None or row.state != ModuleState.ENABLED:
        raise NotFound(f"The module {name} is not enabled", code="module-not-enabled")
    check_if_match(if_match, row.version)
    if settings or plug.module.settings is not None:
        await switchboard.set_settings(ctx, row, typed_settings(plug, settings))


def typed_settings(plug: Plug, settings: Mapping[str, Any]) -> Struct:
    """Raises `Invalid` with every value that doesn't fit; also for any value, where the module has no settings."""
    if plug.module.settings is None:
        unknown = [FieldError(field=name, code="unknown", message="Unknown field") for name in settings]
        raise Invalid(f"{plug.name} has nothing to set", errors=unknown)
    return convert_strictly(dict(settings), plug.module.settings)


def _mine(ctx: Ctx) -> Any:
    return select(OrganizationModule).where(OrganizationModule.organization_id == ctx.organization_id)


async def _row(ctx: Ctx, name: str) -> OrganizationModule | None:
    return await ctx.db.scalar(_mine(ctx).where(OrganizationModule.module == name))


def _out[M: ModuleOut](kind: type[M], plug: Plug | None, name: str, row: OrganizationModule | None, **more: Any) -> M:
    return kind(
        name=name,
        title=plug.module.title if plug else name,
        version=plug.version if plug else None,
        state=ModuleState(row.state) if row else ModuleState.AVAILABLE,
        requires=list(plug.module.requires) if plug else [],
        optional=list(plug.module.optional) if plug else [],
        reason=row.reason if row else None,
        changed_at=row.changed_at if row else None,
        retained_until=row.retained_until if row else None,
        **more,
    )
