"""Routes of the operators, one file per resource."""

from litestar import Router

from core.admin.routes.impersonations import IMPERSONATION_ROUTES
from core.admin.routes.organizations import TENANT_ROUTES
from core.admin.routes.people import PERSON_ROUTES, SESSION_ROUTES
from core.http.catching_up import CHANGES_ACCESS


def admin_router() -> Router:
    routers = [
        Router("/organizations", route_handlers=TENANT_ROUTES),
        Router("/users", route_handlers=PERSON_ROUTES),
        Router("/sessions", route_handlers=SESSION_ROUTES),
        Router("/impersonations", route_handlers=IMPERSONATION_ROUTES),
    ]
    return Router("/api/v1/admin", route_handlers=routers, tags=["Operators"], opt={CHANGES_ACCESS: True})
