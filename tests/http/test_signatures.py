"""Applications of a test run share what Litestar reads of their handlers; they are none the worse for it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from litestar.utils.signature import ParsedSignature

pytestmark = pytest.mark.usefixtures("known_signatures")


def read(fn: Any) -> dict[str, tuple[Any, Any]]:
    parameters = ParsedSignature.from_fn(fn, {}).parameters
    return {name: (parameter.annotation, parameter.default) for name, parameter in parameters.items()}


def made(kind: Any, default: Any) -> Callable[..., None]:
    def handler(value: kind = default) -> None: ...

    return handler


def decorated(fn: Callable[..., None]) -> Callable[..., None]:
    @wraps(fn)
    def wrapper(*given: Any, **named: Any) -> None: ...

    return wrapper


def test_functions_of_the_same_lines_are_told_apart_by_what_they_take() -> None:
    functions = {(kind, default): made(kind, default) for kind in (int, str, list[int]) for default in (None, 7, "x")}

    assert {key: read(fn)["value"] for key, fn in functions.items()} == {key: key for key in functions}


def test_decorated_functions_are_told_apart_by_what_they_were() -> None:
    assert [read(decorated(made(int, default)))["value"] for default in (1, 2)] == [(int, 1), (int, 2)]


def test_a_signature_is_read_once() -> None:
    one, same = made(int, 1), made(int, 1)

    assert ParsedSignature.from_fn(one, {}) is ParsedSignature.from_fn(same, {})
