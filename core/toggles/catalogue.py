"""What the deployment's modules are, as far as running a request or a job needs to know."""

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, cast

import msgspec
import structlog
from msgspec import Struct

log = structlog.get_logger()

NONE: Mapping[Any, Any] = MappingProxyType({})


class TenantModules(Struct, frozen=True, kw_only=True, dict=True):
    """The modules of one organization at one moment."""

    enabled: frozenset[str] = frozenset()
    suspended: frozenset[str] = frozenset()
    settings: Mapping[str, dict[str, Any]] = NONE
    """As stored, by module; what is not stored has its default."""

    @cached_property
    def read(self) -> dict[type[Struct], Struct]:
        """Settings that were asked for already, by their type."""
        return {}

    def follow_events(self, module: str) -> bool:
        """Whether what happens is told to the module: at once, or once it is on again."""
        return module in self.enabled or module in self.suspended


class Provided(Struct, frozen=True):
    """What a module provides under a Protocol: `make(ctx)` is called for each use."""

    module: str
    make: Callable[[Any], object]


class ModuleCatalogue(Struct, frozen=True, kw_only=True):
    """The modules that serve, and what they declare. Made once a process."""

    names: frozenset[str] = frozenset()
    on_by_default: frozenset[str] = frozenset()
    """Those that an organization has where nobody has decided otherwise."""
    settings: Mapping[type[Struct], str] = NONE
    """The module whose settings a type is."""
    provided: Mapping[type, Provided] = NONE

    def module_of(self, name: str) -> str | None:
        """The module that an actor, an event or a schedule belongs to; None for the core's own."""
        prefix = name.partition(".")[0]
        return prefix if prefix in self.names else None

    def all_on(self) -> TenantModules:
        return TenantModules(enabled=self.names)

    def read_settings[S: Struct](self, modules: TenantModules, kind: type[S]) -> S:
        """The organization's settings of a module. Raises `LookupError` where no module has settings of this type."""
        if (known := modules.read.get(kind)) is not None:
            return cast("S", known)
        if kind not in self.settings:
            raise LookupError(f"{kind.__name__} is not the settings of an installed module")
        found = modules.read[kind] = decode_settings(modules.settings.get(self.settings[kind], {}), kind)
        return found


_fields = cache(msgspec.structs.fields)
"""Each call of msgspec's own evaluates the type's annotations anew."""


def decode_settings[S: Struct](stored: Mapping[str, Any], kind: type[S]) -> S:
    """Stored settings as today's type: what it doesn't know is left out, what it has no value for, or none that
    still fits, has its default. Changing the type can therefore not stop a module that is running."""
    kept: dict[str, Any] = {}
    for field in _fields(kind):
        if field.encode_name not in stored:
            continue
        try:
            kept[field.name] = msgspec.convert(stored[field.encode_name], field.type)
        except msgspec.ValidationError as error:
            log.warning("settings.value_left_out", settings=kind.__name__, field=field.name, error=str(error))
    return kind(**kept)
