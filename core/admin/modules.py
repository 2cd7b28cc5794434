"""An organization's modules, as operators switch them."""

from uuid import UUID

from core.admin.organizations import check_present
from core.admin.platform import Platform
from core.errors import Conflict
from core.identity.module_schemas import ModuleOut, ModuleSwitchIn, ModuleSwitchOut, StepOut
from core.identity.modules import list_modules, typed_settings
from core.plugs.switchboard import Step, Switch
from core.principal import Principal, PrincipalKind
from core.toggles.models import ModuleState


async def list_modules_of(platform: Platform, operator: Principal, organization_id: UUID) -> list[ModuleOut]:
    await check_present(platform, organization_id)
    async with platform.switchboard.acting(_in(operator, organization_id)) as ctx:
        return await list_modules(ctx, platform.plugs)


async def switch_module(
    platform: Platform, operator: Principal, organization_id: UUID, name: str, data: ModuleSwitchIn
) -> ModuleSwitchOut:
    """Raises `NotFound` for an organization or a module that isn't there, `Invalid` for settings that don't fit, and
    what the switchboard raises."""
    await check_present(platform, organization_id)
    switch = _switch(platform, name, data)
    if data.preview:
        steps = await platform.switchboard.preview(organization_id, switch)
    else:
        steps = await platform.switchboard.switch(_in(operator, organization_id), switch)
        platform.ring()
    return ModuleSwitchOut(
        organization_id=organization_id, steps=[_told(step) for step in steps], done=not data.preview
    )


def _switch(platform: Platform, name: str, data: ModuleSwitchIn) -> Switch:
    plug, settings = platform.plugs.plugs.get(name), None
    if data.settings is not None:
        if data.state != ModuleState.ENABLED:
            raise Conflict("Settings are for a module that is enabled", code="module-not-in-use")
        settings = typed_settings(plug, data.settings) if plug is not None else None
    return Switch(module=name, to=ModuleState(data.state), settings=settings, cascade=data.cascade, reason=data.reason)


def _in(operator: Principal, organization_id: UUID) -> Principal:
    return Principal(kind=PrincipalKind.OPERATOR, organization_id=organization_id, user_id=operator.user_id)


def _told(step: Step) -> StepOut:
    return StepOut(module=step.module, before=step.before, after=step.after)
