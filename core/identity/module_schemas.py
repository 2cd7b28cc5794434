"""What goes in and out of the routes about an organization's modules."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

from core.text import OptionalText
from core.toggles.models import ModuleState


class ModuleOut(Struct, frozen=True, kw_only=True):
    """A module, as the organization has it."""

    name: str
    title: str
    version: str | None
    """Of the distribution that brings it; null where it is installed no more."""
    state: ModuleState
    requires: list[str]
    optional: list[str]
    reason: str | None
    changed_at: datetime | None
    retained_until: datetime | None


class ModuleDetails(ModuleOut, frozen=True, kw_only=True):
    """With its settings: what is set, with the defaults of what is not, and a JSON Schema to make a form of."""

    settings: dict[str, Any]
    settings_schema: dict[str, Any]
    row_version: int
    """What the ETag says: 0 where nothing was ever set."""


class SettingsIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a module's settings, as its `settings_schema` says; what is left out gets its default."""

    settings: dict[str, Any]


class ModuleSwitchIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`state` is what the module shall be. Enabling it enables what it requires."""

    state: Literal["enabled", "suspended", "disabled"]
    settings: dict[str, Any] | None = None
    cascade: bool = False
    """Whether modules that can't do without it go off with it; else they stand in the way (409 `module-needed`)."""
    reason: OptionalText | None = None
    preview: bool = False
    """Only tell what would be done."""


class StepOut(Struct, frozen=True, kw_only=True):
    module: str
    before: ModuleState
    after: ModuleState


class ModuleSwitchOut(Struct, frozen=True, kw_only=True):
    """What was done, or would be, in this order. Empty where it was so already."""

    organization_id: UUID
    steps: list[StepOut]
    done: bool
