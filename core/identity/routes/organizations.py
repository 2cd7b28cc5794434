"""The organization that one is in, making a further one, and one's own profile and account."""

from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.params import JSONBody

from core.db.pages import Page
from core.http.access import IMPERSONATED, requires, signed_in
from core.http.authentication import WHILE_SUSPENDED
from core.http.handlers import get, patch, post
from core.http.responses import IfMatch, Tagged, tagged
from core.identity import members, organizations, people
from core.identity.organization_schemas import (
    DeletionOut,
    MyOrganization,
    OrganizationDetails,
    OrganizationIn,
    OrganizationPatch,
    PasswordIn,
    PlanOut,
    ProfileOut,
    ProfilePatch,
    SlugIn,
)
from core.identity.origins import origin_of
from core.identity.permissions import ORGANIZATION_DELETE, ORGANIZATION_READ, ORGANIZATION_WRITE
from core.identity.routes.onboarding import identity_of, onboarding_of
from core.identity.routes.sessions import user_id_of
from core.tasks.context import Ctx


@get(
    "/profile",
    operation_id="get_profile",
    summary="One's own profile",
    guards=[signed_in],
    opt={IMPERSONATED: True},
)
async def get_profile(ctx: Ctx, state: State) -> Tagged[ProfileOut]:
    profile = await people.get_profile(onboarding_of(state).database, user_id_of(ctx))
    return tagged(profile, version=profile.version)


@patch("/profile", operation_id="update_profile", summary="Change one's own profile", guards=[signed_in])
async def update_profile(
    ctx: Ctx, state: State, data: JSONBody[ProfilePatch], if_match: IfMatch = None
) -> Tagged[ProfileOut]:
    database = onboarding_of(state).database
    profile = await people.update_profile(database, user_id_of(ctx), data, if_match=if_match)
    return tagged(profile, version=profile.version)


@get(
    "/organizations",
    operation_id="list_my_organizations",
    summary="Where one belongs",
    guards=[signed_in],
    opt={WHILE_SUSPENDED: True},
)
async def list_my_organizations(ctx: Ctx, state: State) -> Page[MyOrganization]:
    items = await people.list_my_organizations(onboarding_of(state).database, user_id_of(ctx))
    return Page(items=items, next_cursor=None)


@post(
    "/deactivate",
    operation_id="deactivate_account",
    summary="Deactivate one's own account; ends all sessions",
    status_code=204,
    guards=[signed_in],
    opt={"problems": (403,), "throttled": True},
)
async def deactivate_account(
    ctx: Ctx, state: State, request: Request[Any, Any, Any], data: JSONBody[PasswordIn]
) -> None:
    await people.deactivate_account(
        onboarding_of(state).database,
        identity_of(state).throttle,
        origin_of(request),
        user_id_of(ctx),
        password=data.password,
    )


@post(
    "/",
    operation_id="create_organization",
    summary="Make a further organization",
    guards=[signed_in],
    opt={"problems": (403,)},
)
async def create_organization(ctx: Ctx, state: State, data: JSONBody[OrganizationIn]) -> MyOrganization:
    database = onboarding_of(state).database
    return await organizations.create_further_organization(database, user_id_of(ctx), data)


@get("/current", operation_id="get_organization", summary="This organization", guards=[requires(ORGANIZATION_READ)])
async def get_organization(ctx: Ctx) -> Tagged[OrganizationDetails]:
    organization = await organizations.get_organization(ctx)
    return tagged(organizations.organization_out(organization), version=organization.version)


@patch(
    "/current",
    operation_id="update_organization",
    summary="Change this organization's name, domain and settings",
    guards=[requires(ORGANIZATION_WRITE)],
)
async def update_organization(
    ctx: Ctx, data: JSONBody[OrganizationPatch], if_match: IfMatch = None
) -> Tagged[OrganizationDetails]:
    organization = await organizations.update_organization(ctx, data, if_match=if_match)
    return tagged(organizations.organization_out(organization), version=organization.version)


@get(
    "/current/plan",
    operation_id="get_plan",
    summary="This organization's plan, and how much of it is used",
    guards=[requires(ORGANIZATION_READ)],
)
async def get_plan(ctx: Ctx) -> PlanOut:
    return await organizations.get_plan(ctx)


@post(
    "/current/deletion",
    operation_id="delete_organization",
    summary="Delete this organization; its owners are mailed a link that brings it back",
    status_code=200,
    guards=[requires(ORGANIZATION_DELETE)],
)
async def delete_organization(ctx: Ctx, state: State, data: JSONBody[SlugIn]) -> DeletionOut:
    onboarding = onboarding_of(state)
    return await organizations.delete_organization(onboarding.database, onboarding.links, ctx.principal, slug=data.slug)


@post(
    "/current/leave",
    operation_id="leave_organization",
    summary="Leave this organization",
    status_code=204,
    guards=[signed_in],
)
async def leave_organization(ctx: Ctx) -> None:
    await members.leave_organization(ctx)


PROFILE_ROUTES = (get_profile, update_profile, list_my_organizations, deactivate_account)
ORGANIZATION_ROUTES = (
    create_organization,
    get_organization,
    update_organization,
    get_plan,
    delete_organization,
    leave_organization,
)
