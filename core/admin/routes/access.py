"""What the operators' routes share."""

from typing import Annotated

from litestar.datastructures import State
from litestar.params import QueryParameter

from core.admin.platform import Platform
from core.http.authentication import WHILE_SUSPENDED
from core.text import NO_NUL, NO_NUL_TITLE

OPERATING = {WHILE_SUSPENDED: True}
"""Operators can open the organization that they themselves are in."""
Search = Annotated[
    str | None,
    QueryParameter(
        title=NO_NUL_TITLE, min_length=1, max_length=200, pattern=NO_NUL, description="Part of a name or an address"
    ),
]


def platform_of(state: State) -> Platform:
    return state.platform
