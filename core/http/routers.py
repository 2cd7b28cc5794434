"""Routers that are registered as they are."""

from typing import Self

from litestar import Router


class OwnRouter(Router):
    """A router that is made for one application and registered once.

    Litestar copies a router deeply, with all handlers below it, each time that it is put into another. That is for
    routers which several applications share, and with three levels of them it was a third of an application's start.
    """

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self
