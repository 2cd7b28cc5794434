"""How to call a route, or a job, about an organization's rows: templates in which some values stand for others."""

from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any

from msgspec import Struct


class Id(Struct, frozen=True):
    """Stands for an id in the organization's first row of a table."""

    table: str
    column: str = "id"


class Loose(Struct, frozen=True):
    """Stands for an id of something that the module doesn't keep itself: any will do, so it is a new one each time.
    Who is attacked gives that of its first row."""

    table: str
    column: str


class Mark(Struct, frozen=True):
    """Stands for the text that is in every row of the organization."""


class Slug(Struct, frozen=True):
    """Stands for the organization's short name."""


class Colleague(Struct, frozen=True):
    """Stands for the id of another member of the organization."""


class Caller(Struct, frozen=True):
    """Stands for the person who calls, in the values that rows must have."""


class Fresh(Struct, frozen=True):
    """Stands for a name that nobody has; it is another one each time."""

    ending: str = ""


class Filling(Struct, frozen=True, kw_only=True):
    """How to call a route so that it succeeds. What stands for something may stand anywhere in path, query and body.

    For a job, `json` is its arguments; for a subscriber, the event.
    """

    path: Mapping[str, Any] = {}
    query: Mapping[str, Any] = {}
    json: Mapping[str, Any] | None = None
    files: Mapping[str, Any] | None = None
    rows: Mapping[str, Mapping[str, Any]] = {}
    """Values that the rows must have for it, by table."""
    ends_session: bool = False
    tells_of_none: bool = False
    """A GET whose answer is the same for any organization, or holds nothing but numbers."""

    @property
    def names_rows(self) -> bool:
        """Whether anything of the organization is in the request."""
        return self._has(Id | Mark | Slug | Colleague)

    @property
    def names_colleague(self) -> bool:
        return self._has(Colleague)

    def _has(self, kinds: type | UnionType) -> bool:
        return any(isinstance(value, kinds) for value in _values([self.path, self.query, self.json]))

    @property
    def path_names_rows(self) -> bool:
        """Whether the path leads to a row of the organization, and not to what every organization has."""
        return any(isinstance(value, Id | Colleague) for value in self.path.values())


def _values(template: Any) -> Iterator[Any]:
    match template:
        case Mapping():
            yield from _values(list(template.values()))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        case list():
            for part in template:  # pyright: ignore[reportUnknownVariableType]
                yield from _values(part)
        case _:
            yield template
