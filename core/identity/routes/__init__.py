"""Routes of identity, one file per resource."""

from core.http.catching_up import CHANGES_ACCESS
from core.http.routers import OwnRouter
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


def identity_router() -> OwnRouter:
    auth = [*AUTH_ROUTES, *ONBOARDING_ROUTES, *SESSION_ROUTES, *MFA_ROUTES, *OIDC_ROUTES]
    routers = [
        OwnRouter("/auth", route_handlers=auth, tags=["Authentication"]),
        OwnRouter("/users/me", route_handlers=[*USER_ROUTES, *PROFILE_ROUTES], tags=["Users"]),
        OwnRouter("/organizations", route_handlers=ORGANIZATION_ROUTES, tags=["Organizations"]),
        OwnRouter("/members", route_handlers=MEMBER_ROUTES, tags=["Members"]),
        OwnRouter("/teams", route_handlers=TEAM_ROUTES, tags=["Teams"]),
        OwnRouter("/invitations", route_handlers=INVITATION_ROUTES, tags=["Invitations"]),
        OwnRouter("/roles", route_handlers=ROLE_ROUTES, tags=["Roles"]),
        OwnRouter("/grants", route_handlers=GRANT_ROUTES, tags=["Roles"]),
        OwnRouter("/modules", route_handlers=MODULE_ROUTES, tags=["Modules"]),
        OwnRouter("/api-keys", route_handlers=API_KEY_ROUTES, tags=["API keys"]),
    ]
    own = OwnRouter("/api/v1", route_handlers=[*routers, list_permissions], opt={CHANGES_ACCESS: True})
    return OwnRouter("/", route_handlers=[get_jwks, own])
