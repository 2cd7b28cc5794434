"""A handler's signature is read once in a test run, not once more for each application.

Litestar reads it, and makes a Struct to decode its parameters with, whenever a handler is put into an application,
which is half of what an application takes to make. A process that serves makes one; a test run makes some two hundred
of the same handlers.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FunctionType
from typing import Any, cast

import pytest
from litestar._signature.model import SignatureModel
from litestar.utils.signature import ParsedSignature

type Read = Callable[[], Any]


class _Once:
    """What was read before, by what it was read from, which is kept: an `id` is unique among what there is."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def __call__(self, key: tuple[Any, ...], kept: Any, read: Read) -> Any:
        if key not in self._known:
            self._known[key] = (read(), kept)
        return self._known[key][0]


@contextmanager
def signatures_read_once() -> Generator[None]:
    """Within the block, in this process."""
    parse, once = ParsedSignature.from_fn, _Once()
    make = cast("Callable[..., Any]", SignatureModel.create)

    def from_fn(fn: Any, signature_namespace: dict[str, Any]) -> Any:
        if not isinstance(fn, FunctionType) or hasattr(fn, "__wrapped__"):
            return parse(fn, signature_namespace)
        return once(
            (_written(fn), _ids(signature_namespace)), (fn, signature_namespace), lambda: parse(fn, signature_namespace)
        )

    def create(
        dependency_name_set: set[str], fn: Any, parsed_signature: Any, type_decoders: Any, data_dto: Any = None
    ) -> Any:
        key = (id(parsed_signature), frozenset(dependency_name_set), _ids(dict(type_decoders or ())), data_dto)
        kept = (parsed_signature, type_decoders)
        return once(key, kept, lambda: make(dependency_name_set, fn, parsed_signature, type_decoders, data_dto))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ParsedSignature, "from_fn", from_fn)
        patch.setattr(SignatureModel, "create", create)
        yield


def _written(fn: FunctionType) -> tuple[Any, ...]:
    """The same for a function and for another that was made by the same lines of the same things: Litestar makes one
    that answers OPTIONS for each path."""
    defaults = {**dict(enumerate(fn.__defaults__ or ())), **(fn.__kwdefaults__ or {})}
    return fn.__code__, _ids(fn.__annotations__), _ids(defaults)


def _ids(things: dict[Any, Any]) -> frozenset[tuple[Any, int]]:
    return frozenset((name, id(thing)) for name, thing in things.items())
