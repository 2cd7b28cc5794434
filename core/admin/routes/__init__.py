"""Routes of the operators, one file per resource."""

from core.admin.routes.impersonations import IMPERSONATION_ROUTES
from core.admin.routes.organizations import TENANT_ROUTES
from core.admin.routes.people import PERSON_ROUTES, SESSION_ROUTES
from core.http.catching_up import CHANGES_ACCESS
from core.http.routers import OwnRouter


def admin_router() -> OwnRouter:
    routers = [
        OwnRouter("/organizations", route_handlers=TENANT_ROUTES),
        OwnRouter("/users", route_handlers=PERSON_ROUTES),
        OwnRouter("/sessions", route_handlers=SESSION_ROUTES),
        OwnRouter("/impersonations", route_handlers=IMPERSONATION_ROUTES),
    ]
    return OwnRouter("/api/v1/admin", route_handlers=routers, tags=["Operators"], opt={CHANGES_ACCESS: True})
