"""Inviting people, and joining."""

from typing import Literal
from uuid import UUID

from litestar import Response
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody

from core.db.pages import DEFAULT_LIMIT, Page
from core.http.access import requires, signed_in
from core.http.handlers import delete, get, post
from core.http.responses import Limit, PageCursor, Tagged, json_bytes, tagged
from core.identity import invitations
from core.identity.organization_schemas import (
    InvitationIn,
    InvitationOut,
    InvitationState,
    InvitedPersonIn,
    LinkTokenIn,
    MyOrganization,
)
from core.identity.permissions import INVITATIONS_READ, INVITATIONS_WRITE
from core.identity.routes.onboarding import onboarding_of
from core.identity.routes.sessions import user_id_of
from core.tasks.context import Ctx

InvitationSort = Literal["created_at", "-created_at", "email", "-email"]


@post(
    "/",
    operation_id="invite",
    summary="Invite somebody",
    guards=[requires(INVITATIONS_WRITE)],
    opt={"problems": (404,)},
)
async def invite(ctx: Ctx, state: State, data: JSONBody[InvitationIn]) -> Tagged[InvitationOut]:
    invitation = await invitations.invite(ctx, onboarding_of(state).links, data)
    return tagged(invitations.invitation_out(invitation), version=invitation.version, status_code=201)


@get("/", operation_id="list_invitations", summary="List invitations", guards=[requires(INVITATIONS_READ)])
async def list_invitations(
    ctx: Ctx,
    invitation_state: FromQuery[InvitationState | None] = None,
    sort: FromQuery[InvitationSort] = "-created_at",
    limit: Limit = DEFAULT_LIMIT,
    cursor: PageCursor = None,
) -> Response[Page[InvitationOut]]:
    page = await ctx.page(invitations.INVITATIONS, sort=sort, limit=limit, cursor=cursor, state=invitation_state)
    return json_bytes(page)


@get(
    "/{invitation_id:uuid}",
    operation_id="get_invitation",
    summary="One invitation",
    guards=[requires(INVITATIONS_READ)],
)
async def get_invitation(ctx: Ctx, invitation_id: FromPath[UUID]) -> Tagged[InvitationOut]:
    invitation = await invitations.find_invitation(ctx, invitation_id)
    return tagged(invitations.invitation_out(invitation), version=invitation.version)


@post(
    "/{invitation_id:uuid}/resend",
    operation_id="resend_invitation",
    summary="Send an invitation again, with a new link",
    status_code=200,
    guards=[requires(INVITATIONS_WRITE)],
)
async def resend_invitation(ctx: Ctx, state: State, invitation_id: FromPath[UUID]) -> Tagged[InvitationOut]:
    invitation = await invitations.resend_invitation(ctx, onboarding_of(state).links, invitation_id)
    return tagged(invitations.invitation_out(invitation), version=invitation.version)


@delete(
    "/{invitation_id:uuid}",
    operation_id="revoke_invitation",
    summary="Revoke an invitation",
    guards=[requires(INVITATIONS_WRITE)],
)
async def revoke_invitation(ctx: Ctx, invitation_id: FromPath[UUID]) -> None:
    await invitations.revoke_invitation(ctx, invitation_id)


@post(
    "/accept",
    operation_id="accept_invitation",
    summary="Join with the account that the invited address has",
    status_code=200,
    guards=[signed_in],
    opt={"problems": (404,)},
)
async def accept_invitation(ctx: Ctx, state: State, data: JSONBody[LinkTokenIn]) -> MyOrganization:
    return await invitations.accept_invitation(onboarding_of(state).database, user_id_of(ctx), data.token)


@post(
    "/register",
    operation_id="register_invited",
    summary="Open an account with an invitation, and join",
    opt={"public": True, "problems": (404, 409)},
)
async def register_invited(state: State, data: JSONBody[InvitedPersonIn]) -> MyOrganization:
    return await invitations.register_invited(onboarding_of(state).database, data)


INVITATION_ROUTES = (
    invite,
    list_invitations,
    get_invitation,
    resend_invitation,
    revoke_invitation,
    accept_invitation,
    register_invited,
)
