"""How to call every route so that it succeeds, and which routes need no such thing."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.testing.fillings import Caller, Filling, Fresh, Id, Mark, Slug
from core.testing.tenants import PASSWORD

PUBLIC = {
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /health/db",
    "GET /api/v1/health/database",
    "GET /api/v1/health/redis",
    "GET /metrics",
    "GET /docs",
    "GET /docs/static/{name:str}",
    "GET /redoc",
    "GET /openapi.json",
    "GET /.well-known/jwks.json",
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/verify-email",
    "POST /api/v1/auth/password-reset",
    "POST /api/v1/auth/password-reset/confirm",
    "POST /api/v1/auth/restore-organization",
    "GET /api/v1/auth/oidc/providers",
    "POST /api/v1/auth/oidc/{provider:str}/start",
    "POST /api/v1/auth/oidc/{provider:str}/callback",
    "POST /api/v1/auth/oidc/{provider:str}/second-factor",
    "POST /api/v1/invitations/register",
    "GET /mailbox",
    "GET /mailbox/{name:uuid}",
}
"""Routes that need no token. They have tests of their own."""
CROSSING = {"POST /api/v1/invitations/accept"}
"""Routes that lead from one organization into another: one's own rows are no use. They have tests of their own."""


STEPPED = {
    "DELETE /api/v1/auth/sessions/{session_id:uuid}",
    "DELETE /api/v1/auth/oidc/identities/{identity_id:uuid}",
    "POST /api/v1/auth/oidc/{provider:str}/link",
    "POST /api/v1/auth/mfa/totp/confirm",
    "POST /api/v1/auth/mfa/totp/disable",
    "POST /api/v1/auth/mfa/recovery-codes",
}
"""Routes of one's own account that succeed only after others. They have tests of their own, tests/identity."""


CONTACT = {"contact_id": Id("networking.contacts")}
IMPORT = {"import_id": Id("networking.contact_imports")}
PAIR = {
    "contact_id": Id("networking.duplicate_pairs", "first_id"),
    "other_id": Id("networking.duplicate_pairs", "second_id"),
}
SURVIVOR = {"contact_id": Id("networking.duplicate_pairs", "first_id")}
OTHER = Id("networking.duplicate_pairs", "second_id")
CONTACTS = "/api/v1/networking/contacts"
IMPORTS = "/api/v1/networking/imports"
FILLINGS = {
    "POST /api/v1/auth/logout": Filling(ends_session=True),
    "GET /api/v1/users/me": Filling(),
    f"POST {CONTACTS}": Filling(json={"first_name": "Ada"}),
    f"GET {CONTACTS}": Filling(query={"q": Mark()}),
    f"GET {CONTACTS}/export.csv": Filling(query={"q": Mark()}),
    f"GET {CONTACTS}/{{contact_id:uuid}}": Filling(path=CONTACT),
    f"PATCH {CONTACTS}/{{contact_id:uuid}}": Filling(path=CONTACT, json={"first_name": "Ada"}),
    f"DELETE {CONTACTS}/{{contact_id:uuid}}": Filling(path=CONTACT),
    f"POST {CONTACTS}/{{contact_id:uuid}}/restore": Filling(
        path=CONTACT, rows={"networking.contacts": {"is_deleted": True}}
    ),
    f"POST {CONTACTS}/{{contact_id:uuid}}/interactions": Filling(
        path=CONTACT, json={"interaction_type": "call", "interaction_date": "2026-03-01T09:30:00Z"}
    ),
    f"GET {CONTACTS}/{{contact_id:uuid}}/interactions": Filling(path=CONTACT),
    f"GET {CONTACTS}/{{contact_id:uuid}}/duplicates": Filling(path=CONTACT, tells_of_none=True),
    f"PUT {CONTACTS}/{{contact_id:uuid}}/not-duplicates/{{other_id:uuid}}": Filling(path=PAIR),
    f"DELETE {CONTACTS}/{{contact_id:uuid}}/not-duplicates/{{other_id:uuid}}": Filling(path=PAIR),
    "GET /api/v1/networking/duplicates": Filling(),
    f"POST {CONTACTS}/{{contact_id:uuid}}/merges": Filling(path=SURVIVOR, json={"other_id": OTHER}),
    f"POST {CONTACTS}/{{contact_id:uuid}}/merges/preview": Filling(path=SURVIVOR, json={"other_id": OTHER}),
    "GET /api/v1/networking/merges": Filling(),
    "POST /api/v1/networking/merges/{merge_id:uuid}/undo": Filling(
        path={"merge_id": Id("networking.contact_merges")},
        rows={"networking.contact_merges": {"undo_until": datetime(2999, 1, 1, tzinfo=UTC)}},
    ),
    "POST /api/v1/networking/duplicates/scan": Filling(),
    f"POST {IMPORTS}": Filling(files={"file": ("contacts.csv", b"first_name\nAda\n", "text/csv")}),
    f"GET {IMPORTS}": Filling(),
    f"GET {IMPORTS}/{{import_id:uuid}}": Filling(path=IMPORT),
    f"GET {IMPORTS}/{{import_id:uuid}}/errors": Filling(path=IMPORT),
    f"GET {IMPORTS}/{{import_id:uuid}}/rows": Filling(path=IMPORT),
    f"GET {IMPORTS}/{{import_id:uuid}}/errors.csv": Filling(path=IMPORT),
    f"PATCH {IMPORTS}/{{import_id:uuid}}": Filling(path=IMPORT, json={"mode": "upsert"}),
    f"POST {IMPORTS}/{{import_id:uuid}}/start": Filling(path=IMPORT),
    f"POST {IMPORTS}/{{import_id:uuid}}/revert": Filling(
        path=IMPORT, rows={"networking.contact_imports": {"state": "done"}}
    ),
}

MEMBER = {"user_id": Id("core.memberships", "user_id")}
TEAM = {"team_id": Id("core.teams")}
ROLE = {"role_id": Id("core.roles")}
INVITATION = {"invitation_id": Id("core.invitations")}
ME, HERE = "/api/v1/users/me", "/api/v1/organizations/current"
MEMBERS, TEAMS, ROLES, GRANTS = "/api/v1/members", "/api/v1/teams", "/api/v1/roles", "/api/v1/grants"
INVITATIONS = "/api/v1/invitations"
HELD = {"core.roles": {"permissions": ["members:read"]}}
"""Roles that an owner may touch, since they hold what is in them."""
PENDING = {
    "core.invitations": {"accepted_at": None, "revoked_at": None, "expires_at": datetime(2999, 1, 1, tzinfo=UTC)}
}
FILLINGS |= {
    "POST /api/v1/auth/verify-email/resend": Filling(),
    "POST /api/v1/auth/switch": Filling(json={"organization": Slug()}),
    f"GET {ME}/profile": Filling(),
    f"PATCH {ME}/profile": Filling(json={"first_name": "Ada"}),
    f"GET {ME}/organizations": Filling(),
    f"POST {ME}/deactivate": Filling(json={"password": PASSWORD}, ends_session=True),
    "POST /api/v1/organizations": Filling(json={"name": "Second", "slug": Fresh()}),
    f"GET {HERE}": Filling(),
    f"PATCH {HERE}": Filling(json={"name": "Acme"}),
    f"GET {HERE}/plan": Filling(tells_of_none=True),
    f"POST {HERE}/deletion": Filling(json={"slug": Slug()}, ends_session=True),
    f"POST {HERE}/leave": Filling(ends_session=True),
    f"GET {MEMBERS}": Filling(),
    f"GET {MEMBERS}/{{user_id:uuid}}": Filling(path=MEMBER),
    f"PATCH {MEMBERS}/{{user_id:uuid}}": Filling(path=MEMBER, json={"role": "member"}),
    f"DELETE {MEMBERS}/{{user_id:uuid}}": Filling(path=MEMBER),
    f"POST {TEAMS}": Filling(json={"name": Fresh()}),
    f"GET {TEAMS}": Filling(),
    f"GET {TEAMS}/{{team_id:uuid}}": Filling(path=TEAM),
    f"PATCH {TEAMS}/{{team_id:uuid}}": Filling(path=TEAM, json={"name": Fresh()}),
    f"DELETE {TEAMS}/{{team_id:uuid}}": Filling(path=TEAM),
    f"POST {TEAMS}/{{team_id:uuid}}/restore": Filling(path=TEAM, rows={"core.teams": {"is_deleted": True}}),
    f"GET {TEAMS}/{{team_id:uuid}}/members": Filling(path=TEAM),
    f"PUT {TEAMS}/{{team_id:uuid}}/members/{{user_id:uuid}}": Filling(path=TEAM | MEMBER),
    f"DELETE {TEAMS}/{{team_id:uuid}}/members/{{user_id:uuid}}": Filling(
        path={"team_id": Id("core.team_members", "team_id"), "user_id": Id("core.team_members", "user_id")}
    ),
    f"POST {INVITATIONS}": Filling(json={"email": Fresh("@example.com"), "team_ids": [Id("core.teams")]}),
    f"GET {INVITATIONS}": Filling(),
    f"GET {INVITATIONS}/{{invitation_id:uuid}}": Filling(path=INVITATION),
    f"POST {INVITATIONS}/{{invitation_id:uuid}}/resend": Filling(path=INVITATION, rows=PENDING),
    f"DELETE {INVITATIONS}/{{invitation_id:uuid}}": Filling(path=INVITATION, rows=PENDING),
    "GET /api/v1/permissions": Filling(tells_of_none=True),
    f"POST {ROLES}": Filling(json={"name": Fresh(), "permissions": ["members:read"]}),
    f"GET {ROLES}": Filling(),
    f"GET {ROLES}/{{role_id:uuid}}": Filling(path=ROLE),
    f"PATCH {ROLES}/{{role_id:uuid}}": Filling(path=ROLE, json={"name": Fresh()}, rows=HELD),
    f"DELETE {ROLES}/{{role_id:uuid}}": Filling(path=ROLE, rows=HELD),
    f"POST {ROLES}/{{role_id:uuid}}/restore": Filling(
        path=ROLE, rows={"core.roles": {"permissions": [], "is_deleted": True}}
    ),
    f"POST {GRANTS}": Filling(json=MEMBER | ROLE | TEAM, rows=HELD),
    f"GET {GRANTS}": Filling(query=MEMBER),
    f"DELETE {GRANTS}/{{grant_id:uuid}}": Filling(path={"grant_id": Id("core.role_grants")}, rows=HELD),
}
API_KEYS = "/api/v1/api-keys"
KEY = {"key_id": Id("core.api_keys")}
LIVING = {"core.api_keys": {"scopes": ["networking:read"], "revoked_at": None, "expires_at": None}}
FILLINGS |= {
    "GET /api/v1/auth/sessions": Filling(tells_of_none=True),
    "GET /api/v1/auth/oidc/identities": Filling(tells_of_none=True),
    "POST /api/v1/auth/sessions/end-others": Filling(),
    "POST /api/v1/auth/password": Filling(
        json={"current_password": PASSWORD, "new_password": Fresh("-password")}, ends_session=True
    ),
    "GET /api/v1/auth/mfa": Filling(tells_of_none=True),
    "POST /api/v1/auth/mfa/totp": Filling(json={"password": PASSWORD}),
    f"GET {API_KEYS}": Filling(),
    f"POST {API_KEYS}": Filling(json={"name": Fresh(), "scopes": ["networking:read"]}),
    f"POST {API_KEYS}/{{key_id:uuid}}/rotate": Filling(path=KEY, json={}, rows=LIVING),
    f"DELETE {API_KEYS}/{{key_id:uuid}}": Filling(path=KEY),
}
CONNECTIONS, PEOPLE = "/api/v1/networking/connections", "/api/v1/networking/people/{user_id:uuid}"
CONNECTION = {"connection_id": Id("networking.connections")}


def _between(**values: Any) -> Mapping[str, Mapping[str, Any]]:
    """Connections of whoever calls, who was there before everybody else."""
    return {"networking.connections": {"first_id": Caller(), **values}}


FILLINGS |= {
    f"POST {CONNECTIONS}": Filling(json=MEMBER),
    f"GET {CONNECTIONS}": Filling(rows=_between(state="connected")),
    f"GET {CONNECTIONS}/{{connection_id:uuid}}": Filling(path=CONNECTION, rows=_between()),
    f"POST {CONNECTIONS}/{{connection_id:uuid}}/accept": Filling(path=CONNECTION, rows=_between()),
    f"POST {CONNECTIONS}/{{connection_id:uuid}}/decline": Filling(path=CONNECTION, rows=_between()),
    f"POST {CONNECTIONS}/{{connection_id:uuid}}/cancel": Filling(path=CONNECTION, rows=_between(requested_by=Caller())),
    f"DELETE {CONNECTIONS}/{{connection_id:uuid}}": Filling(path=CONNECTION, rows=_between(state="connected")),
    "GET /api/v1/networking/blocks": Filling(rows=_between()),
    f"PUT {PEOPLE}/block": Filling(path=MEMBER),
    f"DELETE {PEOPLE}/block": Filling(path={"user_id": Id("networking.connections", "second_id")}, rows=_between()),
    f"GET {PEOPLE}/relation": Filling(path=MEMBER),
    f"GET {PEOPLE}/mutual-connections": Filling(path=MEMBER, tells_of_none=True),
}
PROFILE, RECOMMENDED = "/api/v1/networking/matching/profile", "/api/v1/networking/recommendations"
FILLINGS |= {
    f"GET {PROFILE}": Filling(tells_of_none=True),
    f"PUT {PROFILE}": Filling(json={"is_open": True, "interests": [Fresh()]}),
    f"GET {RECOMMENDED}": Filling(tells_of_none=True),
    f"PUT {RECOMMENDED}/{{user_id:uuid}}/feedback": Filling(path=MEMBER, json={"verdict": "useful"}),
    f"GET {CONTACTS}/{{contact_id:uuid}}/recommendations": Filling(path=CONTACT, tells_of_none=True),
    f"PUT {CONTACTS}/{{contact_id:uuid}}/recommendations/{{other_id:uuid}}/feedback": Filling(
        path=PAIR, json={"verdict": "useful"}
    ),
}

INTERACTIONS = "/api/v1/networking/interactions/{interaction_id:uuid}"
INTERACTION = {"interaction_id": Id("networking.contact_interactions")}
PLANNED = {"networking.contact_interactions": {"status": "scheduled"}}
FILLINGS |= {
    f"GET {INTERACTIONS}": Filling(path=INTERACTION),
    f"PATCH {INTERACTIONS}": Filling(path=INTERACTION, json={"subject": "Lunch"}),
    f"POST {INTERACTIONS}/complete": Filling(path=INTERACTION, json={"outcome": "Signed"}, rows=PLANNED),
    f"POST {INTERACTIONS}/cancel": Filling(path=INTERACTION, rows=PLANNED),
    f"DELETE {INTERACTIONS}": Filling(path=INTERACTION),
    f"POST {INTERACTIONS}/restore": Filling(
        path=INTERACTION, rows={"networking.contact_interactions": {"is_deleted": True}}
    ),
}
SCORES, RUNS = "/api/v1/networking/score-rules", "/api/v1/networking/score-runs"
READABLE = {"networking.score_rules": {"rules": {"most": 50}, "created_by": Caller()}}
"""Rules that are rules: any document would do for the table."""
SCORED = {"networking.contact_scores": {"lines": [{"points": 5, "reason": "email is known"}]}}
FILLINGS |= {
    f"GET {SCORES}": Filling(rows=READABLE),
    f"PUT {SCORES}": Filling(json={"most": 50}, rows=READABLE),
    f"GET {SCORES}/versions": Filling(rows=READABLE),
    f"POST {SCORES}/versions/{{rules_id:uuid}}/restore": Filling(
        path={"rules_id": Id("networking.score_rules")}, rows=READABLE
    ),
    f"POST {SCORES}/preview": Filling(json={"most": 50}),
    f"GET {CONTACTS}/{{contact_id:uuid}}/score": Filling(path=CONTACT, rows=READABLE | SCORED),
    f"POST {RUNS}": Filling(rows=READABLE),
    f"GET {RUNS}/{{run_id:uuid}}": Filling(path={"run_id": Id("networking.score_runs")}),
}
FILLINGS |= {
    f"POST {CONTACTS}/{{contact_id:uuid}}/stage": Filling(path=CONTACT, json={"contact_type": "contact"}),
    f"GET {CONTACTS}/{{contact_id:uuid}}/stages": Filling(path=CONTACT),
    f"GET {CONTACTS}/{{contact_id:uuid}}/timeline": Filling(path=CONTACT),
    "GET /api/v1/networking/funnel": Filling(query={"owner_id": Id("core.memberships", "user_id")}, tells_of_none=True),
}
SHARES = f"{CONTACTS}/{{contact_id:uuid}}/shares"
SHARED = {"contact_id": Id("networking.contact_shares", "contact_id")}
WITH = Id("networking.contact_shares", "grantee_id")
FILLINGS |= {
    f"PUT {CONTACTS}/{{contact_id:uuid}}/owner": Filling(path=CONTACT, json=MEMBER),
    f"GET {SHARES}": Filling(path=SHARED),
    f"PUT {SHARES}/members/{{user_id:uuid}}": Filling(path=CONTACT | MEMBER, json={"can_edit": True}),
    f"DELETE {SHARES}/members/{{user_id:uuid}}": Filling(path=SHARED | {"user_id": WITH}),
    f"PUT {SHARES}/teams/{{team_id:uuid}}": Filling(path=CONTACT | TEAM, json={"can_edit": True}),
    f"DELETE {SHARES}/teams/{{team_id:uuid}}": Filling(
        path=SHARED | {"team_id": WITH}, rows={"networking.contact_shares": {"kind": "team"}}
    ),
}
TAG = {"tag_id": Id("networking.tags")}
TAG_ROUTES = "/api/v1/networking/tags"
FILLINGS |= {
    f"GET {TAG_ROUTES}": Filling(),
    f"POST {TAG_ROUTES}": Filling(json={"name": Fresh()}),
    f"PATCH {TAG_ROUTES}/{{tag_id:uuid}}": Filling(path=TAG, json={"name": Fresh()}),
    f"DELETE {TAG_ROUTES}/{{tag_id:uuid}}": Filling(path=TAG),
    f"POST {TAG_ROUTES}/{{tag_id:uuid}}/merges": Filling(
        path=TAG, json={"other_id": Id("networking.contact_tags", "tag_id")}
    ),
    f"POST {CONTACTS}/tags": Filling(json={"contact_ids": [Id("networking.contacts")], "add": [Id("networking.tags")]}),
}
FIELD = {"field_id": Id("networking.custom_fields")}
FIELD_ROUTES = "/api/v1/networking/custom-fields"
FILLINGS |= {
    f"GET {FIELD_ROUTES}": Filling(),
    f"POST {FIELD_ROUTES}": Filling(json={"key": Fresh(), "label": Fresh(), "kind": "text"}),
    f"GET {FIELD_ROUTES}/{{field_id:uuid}}": Filling(path=FIELD),
    f"PATCH {FIELD_ROUTES}/{{field_id:uuid}}": Filling(
        path=FIELD, json={"label": Fresh()}, rows={"networking.custom_fields": {"options": [], "archived_options": []}}
    ),
    f"DELETE {FIELD_ROUTES}/{{field_id:uuid}}": Filling(path=FIELD),
}
VIEW = {"view_id": Id("networking.saved_views")}
VIEW_ROUTES = "/api/v1/networking/views"
OWN_VIEWS = {"networking.saved_views": {"owner_id": Caller(), "filters": {"q": "Ada"}, "sort": None, "columns": None}}
FILLINGS |= {
    f"GET {VIEW_ROUTES}": Filling(rows=OWN_VIEWS),
    f"POST {VIEW_ROUTES}": Filling(json={"name": Fresh()}),
    f"GET {VIEW_ROUTES}/{{view_id:uuid}}": Filling(path=VIEW, rows=OWN_VIEWS),
    f"PATCH {VIEW_ROUTES}/{{view_id:uuid}}": Filling(path=VIEW, json={"name": Fresh()}, rows=OWN_VIEWS),
    f"DELETE {VIEW_ROUTES}/{{view_id:uuid}}": Filling(path=VIEW, rows=OWN_VIEWS),
}
MODULES = "/api/v1/modules"
MODULE = {"name": "networking"}
FILLINGS |= {
    f"GET {MODULES}": Filling(tells_of_none=True),
    f"GET {MODULES}/{{name:str}}": Filling(path=MODULE, tells_of_none=True),
    f"PUT {MODULES}/{{name:str}}/settings": Filling(path=MODULE, json={"settings": {}}),
}
FILLINGS |= {
    "GET /api/v1/audit": Filling(query={"record_id": Id("core.audit_logs", "record_id")}),
    "GET /api/v1/audit/verify": Filling(tells_of_none=True),
    "GET /api/v1/audit/export.ndjson": Filling(),
}
PERSONAL = {
    *STEPPED,
    "GET /api/v1/auth/oidc/identities",
    "GET /api/v1/auth/sessions",
    "POST /api/v1/auth/sessions/end-others",
    "POST /api/v1/auth/password",
    "GET /api/v1/auth/mfa",
    "POST /api/v1/auth/mfa/totp",
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/verify-email/resend",
    "POST /api/v1/auth/switch",
    f"GET {ME}",
    f"GET {ME}/profile",
    f"PATCH {ME}/profile",
    f"GET {ME}/organizations",
    f"POST {ME}/deactivate",
    "POST /api/v1/organizations",
    f"POST {HERE}/leave",
    "POST /api/v1/invitations/accept",
}
"""What everybody may do with their own account, whatever their role."""
