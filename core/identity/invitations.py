"""Invitations: bound to an address and a role, accepted once.

Inviting happens in the organization; accepting happens from outside of it, so that runs as the system role. Whoever
holds the token has read mail to the address, which proves that it is theirs.
"""

from uuid import UUID

import msgspec
from sqlalchemy import bindparam, case, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.database import Database
from core.db.pages import ListQuery
from core.db.sessions import act_as
from core.errors import Conflict, Forbidden, NotFound
from core.identity.directory import add_person, claim
from core.identity.letters import send_link
from core.identity.links import LIFETIMES, Links, Purpose, hash_token
from core.identity.members import check_rank
from core.identity.models import Membership, Organization, User
from core.identity.organization_models import Invitation, Team, TeamMember
from core.identity.organization_schemas import (
    InvitationIn,
    InvitationOut,
    InvitationState,
    InvitedPersonIn,
    MyOrganization,
)
from core.identity.passwords import check_new_password, hash_password
from core.identity.people import confirm_address, lock_organization
from core.identity.plans import check_room_for_member
from core.identity.rows import find_living
from core.ids import new_id
from core.permissions import Role
from core.tasks.context import Ctx

STATE = case(
    (Invitation.accepted_at.is_not(None), "accepted"),
    (Invitation.revoked_at.is_not(None), "revoked"),
    (Invitation.expires_at <= func.now(), "expired"),
    else_="pending",
)
INVITATIONS = ListQuery(
    Invitation,
    columns=(
        *(getattr(Invitation, name) for name in InvitationOut.__struct_fields__ if name != "state"),
        STATE.label("state"),
    ),
    filters={"state": bindparam("state") == STATE},
    sorts={"created_at": Invitation.created_at, "email": Invitation.email},
)


def invitation_out(invitation: Invitation) -> InvitationOut:
    values = {name: getattr(invitation, name) for name in InvitationOut.__struct_fields__ if name != "state"}
    return msgspec.convert({**values, "state": _state_of(invitation)}, InvitationOut)


def _state_of(invitation: Invitation) -> InvitationState:
    if invitation.accepted_at is not None:
        return "accepted"
    if invitation.revoked_at is not None:
        return "revoked"
    return "expired" if invitation.expires_at <= clock.now() else "pending"


async def invite(ctx: Ctx, links: Links, data: InvitationIn) -> Invitation:
    """Raises `Conflict` for a member, for somebody who is invited, and where the plan has no place left."""
    email = data.email.lower()
    await lock_organization(ctx.db, ctx.organization_id)
    await check_rank(ctx, data.role.value)
    for team_id in data.team_ids:
        await find_living(ctx, Team, team_id)
    known = (
        select(Membership.id)
        .join(User, User.id == Membership.user_id)
        .where(Membership.organization_id == ctx.organization_id, User.email == email)
    )
    if await ctx.db.scalar(known) is not None:
        raise Conflict("They are a member", code="already-member")
    invited = select(Invitation.id).where(
        Invitation.organization_id == ctx.organization_id,
        Invitation.email == email,
        Invitation.accepted_at.is_(None),
        Invitation.revoked_at.is_(None),
    )
    if await ctx.db.scalar(invited) is not None:
        raise Conflict("They are invited; send it again instead", code="already-invited")
    await check_room_for_member(ctx.db, ctx.organization_id)
    invitation = Invitation(
        email=email, role=data.role.value, team_ids=list(dict.fromkeys(data.team_ids)), invited_by=ctx.user_id
    )
    await _send(ctx, links, invitation)
    return invitation


async def resend_invitation(ctx: Ctx, links: Links, invitation_id: UUID) -> Invitation:
    """A new link, and the time starts again. The links that were sent before are dead."""
    await lock_organization(ctx.db, ctx.organization_id)
    invitation = await find_pending(ctx, invitation_id)
    await check_rank(ctx, invitation.role)
    if invitation.expires_at <= clock.now():
        await check_room_for_member(ctx.db, ctx.organization_id)
    await _send(ctx, links, invitation)
    return invitation


async def revoke_invitation(ctx: Ctx, invitation_id: UUID) -> None:
    invitation = await find_pending(ctx, invitation_id)
    await check_rank(ctx, invitation.role)
    invitation.revoked_at = clock.now()
    await ctx.db.flush()


async def find_invitation(ctx: Ctx, invitation_id: UUID) -> Invitation:
    invitation = await ctx.db.scalar(
        select(Invitation)
        .where(Invitation.organization_id == ctx.organization_id, Invitation.id == invitation_id)
        .with_for_update()
    )
    if invitation is None:
        raise NotFound("There is no such invitation")
    return invitation


async def find_pending(ctx: Ctx, invitation_id: UUID) -> Invitation:
    """One that can be accepted, or could if it were sent again. Locked. Raises `Conflict` for any other."""
    invitation = await find_invitation(ctx, invitation_id)
    if invitation.accepted_at is not None or invitation.revoked_at is not None:
        raise Conflict("The invitation is accepted or revoked", code="not-pending")
    return invitation


async def _send(ctx: Ctx, links: Links, invitation: Invitation) -> None:
    """Raises `Forbidden` for somebody whose own address is not confirmed: they write to nobody."""
    inviter = (
        await ctx.db.execute(select(User.first_name, User.email, User.is_verified).where(User.id == ctx.user_id))
    ).one_or_none()
    if inviter is None or not inviter.is_verified:
        raise Forbidden("Confirm your e-mail address first", code="email-not-verified")
    organization = await ctx.db.scalar(select(Organization.name).where(Organization.id == ctx.organization_id))
    now, token_id = clock.now(), new_id()
    invitation.token_hash = links.hash(Purpose.INVITATION, token_id)
    invitation.sent_at, invitation.expires_at = now, now + LIFETIMES[Purpose.INVITATION]
    ctx.db.add(invitation)
    await ctx.db.flush()
    ctx.enqueue(
        send_link,
        to=invitation.email,
        purpose=Purpose.INVITATION,
        token_id=token_id,
        names={
            "inviter": f"{inviter.first_name} ({inviter.email})",
            "organization": organization or "",
            "role": invitation.role,
        },
    )


async def accept_invitation(database: Database, user_id: UUID, token: str) -> MyOrganization:
    """For somebody who is signed in. Raises `NotFound` for a token that doesn't count, or is somebody else's."""
    async with database.system() as system:
        user = await system.get_one(User, user_id)
        invitation, organization = await _open(system, token)
        if invitation.email != user.email:
            raise _not_valid()
        member = await system.scalar(
            insert(Membership)
            .values(organization_id=organization.id, id=new_id(), user_id=user_id, role=invitation.role)
            .on_conflict_do_nothing()
            .returning(Membership.id)
        )
        if member is None:
            raise Conflict("You belong to this organization", code="already-member")
        await confirm_address(system, user_id)
        return await _close(system, invitation, organization, user_id)


async def register_invited(database: Database, data: InvitedPersonIn) -> MyOrganization:
    """Make a person of the invited address, which the token proves to be theirs.

    Raises `NotFound` for a token that doesn't count, and `Conflict` where the address has an account: its holder, who
    alone can have the token, signs in and accepts.
    """
    check_new_password(data.password)
    password_hash = await hash_password(data.password)
    async with database.system() as system:
        invitation, organization = await _open(system, data.token)
        await claim(system, f"email:{invitation.email}")
        if await system.scalar(select(User.id).where(User.email == invitation.email)) is not None:
            raise Conflict("You have an account: sign in and accept", code="account-exists")
        user = await add_person(
            system,
            home=organization.id,
            role=Role(invitation.role),
            email=invitation.email,
            names=(data.first_name, data.last_name),
            password_hash=password_hash,
            verified=True,
        )
        await act_as(system, user.id)
        return await _close(system, invitation, organization, user.id)


async def _open(system: AsyncSession, token: str) -> tuple[Invitation, Organization]:
    """The invitation that the token is for, locked: others with the same token wait, and then find it used."""
    found = (
        await system.execute(
            select(Invitation, Organization)
            .join(Organization, Organization.id == Invitation.organization_id)
            .where(
                Invitation.token_hash == hash_token(token),
                Invitation.accepted_at.is_(None),
                Invitation.revoked_at.is_(None),
                Invitation.expires_at > clock.now(),
                Organization.is_active,
                Organization.is_deleted.is_(False),
            )
            .with_for_update(of=Invitation)
        )
    ).one_or_none()
    if found is None:
        raise _not_valid()
    return found[0], found[1]


async def _close(
    system: AsyncSession, invitation: Invitation, organization: Organization, user_id: UUID
) -> MyOrganization:
    invitation.accepted_at, invitation.accepted_by = clock.now(), user_id
    teams = await system.scalars(
        select(Team.id).where(
            Team.organization_id == organization.id, Team.id.in_(invitation.team_ids), ~Team.is_deleted
        )
    )
    system.add_all(TeamMember(organization_id=organization.id, team_id=team, user_id=user_id) for team in teams)
    await system.flush()
    return MyOrganization(
        id=organization.id, name=organization.name, slug=organization.slug, role=Role(invitation.role)
    )


def _not_valid() -> NotFound:
    return NotFound("This invitation is not valid any more", code="token-not-valid")
