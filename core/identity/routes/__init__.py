"""Routes of identity, one file per resource."""

from litestar import Router

from core.http.catching_up import CHANGES_ACCESS
from core.identity.routes.api_keys import API_KEY_ROUTES
from core.identity.routes.auth import AUTH_ROUTES, USER_ROUTES
from core.identity.routes.invitations import INVITATION_ROUTES
from core.identity.routes.jwks import get_jwks
from core.identity.routes.members import MEMBER_ROUTES
from core.identity.routes.mfa import MFA_ROUTES
from core.identity.routes.modules import MODULE_ROUTES
from core.identity.routes.oidc import OIDC_ROUTES
from core.identity.routes.onboarding import ONBOARDING_ROUTES
from core.identity.routes.organizations import ORGANIZATION_ROUTES, PROFILE_ROUTES
from core.identity.routes.roles import GRANT_ROUTES, ROLE_ROUTES, list_permissions
from core.identity.routes.sessions import SESSION_ROUTES
from core.identity.routes.teams import TEAM_ROUTES


def identity_router() -> Router:
    auth = [*AUTH_ROUTES, *ONBOARDING_ROUTES, *SESSION_ROUTES, *MFA_ROUTES, *OIDC_ROUTES]
    routers = [
        Router("/auth", route_handlers=auth, tags=["Authentication"]),
        Router("/users/me", route_handlers=[*USER_ROUTES, *PROFILE_ROUTES], tags=["Users"]),
        Router("/organizations", route_handlers=ORGANIZATION_ROUTES, tags=["Organizations"]),
        Router("/members", route_handlers=MEMBER_ROUTES, tags=["Members"]),
        Router("/teams", route_handlers=TEAM_ROUTES, tags=["Teams"]),
        Router("/invitations", route_handlers=INVITATION_ROUTES, tags=["Invitations"]),
        Router("/roles", route_handlers=ROLE_ROUTES, tags=["Roles"]),
        Router("/grants", route_handlers=GRANT_ROUTES, tags=["Roles"]),
        Router("/modules", route_handlers=MODULE_ROUTES, tags=["Modules"]),
        Router("/api-keys", route_handlers=API_KEY_ROUTES, tags=["API keys"]),
    ]
    own = Router("/api/v1", route_handlers=[*routers, list_permissions], opt={CHANGES_ACCESS: True})
    return Router("/", route_handlers=[get_jwks, own])
