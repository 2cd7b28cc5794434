"""The modules' routes, below `/api/v1/<module>`. A module whose routes can't be served is set aside, and the others
serve.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from litestar import Litestar, Router

from core.http.access import MODULE
from core.http.handlers import RouteHandler
from core.http.routers import OwnRouter, handlers_in
from core.plugs.discovery import Plug, Plugs
from core.plugs.manifest import ManifestError

PARAMETER = re.compile(r"\{[^:}]*")
"""The start of `{contact_id:uuid}`, up to its type."""
REFUSED = {
    "cache": "answers are kept by their address alone, and would be shown to other organizations",
    "before_request": "it would take the place of the core's, which sees to idempotency keys and unknown parameters",
    "dependencies": "`ctx` is all that a handler is given",
    "parameters": "a handler declares its own",
}
"""What Litestar would take of a handler, a controller or a router, and why a module can't have it."""


def mount(plugs: Plugs, make: Callable[[Sequence[OwnRouter]], Litestar]) -> Litestar:
    """What `make` makes of the modules' routers, without those that it can't take.

    Which these are is looked for only where it has failed. Of two modules that want the same thing, such as an
    operation's name, the one that others need, or else the first one found, keeps it.
    """
    with suppress(Exception):
        return make([_router_of(plug) for plug in plugs])
    litestar = make(())  # raises where no module is to blame
    sound: list[Plug] = []
    for plug in plugs:
        try:
            litestar = make([_router_of(each) for each in (*sound, plug)])
        except Exception as error:
            plugs.set_aside(plug, f"its routes can't be served: {error}")
        else:
            sound.append(plug)
    return litestar


def _router_of(plug: Plug) -> OwnRouter:
    router = OwnRouter(
        f"/api/v1/{plug.name}",
        route_handlers=list(plug.module.routes),
        tags=[plug.module.title],
        opt={MODULE: plug.name},
    )
    for nested in (router, *(given for given in plug.module.routes if isinstance(given, Router))):
        _refuse_twice([route for route, _ in handlers_in(nested.routes)])
    for route, handler in handlers_in(router.routes):
        if not isinstance(handler, RouteHandler):
            raise ManifestError(f"{route} isn't made with core.sdk's get, post, put, patch or delete")
        for name, why in REFUSED.items():
            if any(getattr(layer, name, None) for layer in handler.ownership_layers):
                raise ManifestError(f"{route} sets {name}: {why}")
    return router


def _refuse_twice(routes: Sequence[str]) -> None:
    """Litestar would serve either of them, another after each start. What a parameter is called makes no difference."""
    named = Counter(PARAMETER.sub("{", route) for route in routes)
    if twice := sorted(route for route, times in named.items() if times > 1):
        raise ManifestError(f"{', '.join(twice)} has two handlers")
