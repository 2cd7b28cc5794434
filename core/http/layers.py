"""A layer of HTTP around the routes: what Litestar's own `ASGIMiddleware` is, without what none of ours needs.

That one looks at each request for a path, a flag of the handler and a kind of scope to leave out, and awaits one more
function a layer, which over all layers was a tenth of our own code in a read. All routes are HTTP's: a module with
another kind is set aside when it is found, as nothing would guard it.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from functools import partial
from typing import cast

from litestar.types import ASGIApp, HTTPScope, Receive, Send


class Layer(ABC):
    """For `Litestar(middleware=…)`. One instance serves all requests: what is of one of them stays in `handle`."""

    @abstractmethod
    def handle(self, scope: HTTPScope, receive: Receive, send: Send, next_app: ASGIApp) -> Awaitable[None]:
        """A coroutine function, or a plain one that returns what `next_app` does where there is nothing to do."""

    def __call__(self, app: ASGIApp) -> ASGIApp:
        return cast("ASGIApp", partial(self.handle, next_app=app))
