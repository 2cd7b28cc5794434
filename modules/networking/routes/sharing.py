"""Whose a contact is, and with whom it is shared."""

from uuid import UUID

from msgspec import convert

from core.sdk import Ctx, FromPath, IfMatch, JSONBody, Tagged, delete, get, put, requires, tagged
from modules.networking.permissions import READ, WRITE
from modules.networking.schemas import ContactOut
from modules.networking.services import sharing
from modules.networking.sharing_schemas import OwnerIn, ShareIn, ShareOut, SharesOut
from modules.networking.values import Grantee
from modules.networking.views import contact_out

SHARES = "/contacts/{contact_id:uuid}/shares"
MEMBER, TEAM = f"{SHARES}/members/{{user_id:uuid}}", f"{SHARES}/teams/{{team_id:uuid}}"


@put(
    "/contacts/{contact_id:uuid}/owner",
    operation_id="change_contact_owner",
    summary="Hand a contact over to another member",
    guards=[requires(WRITE)],
)
async def change_owner(
    ctx: Ctx, contact_id: FromPath[UUID], data: JSONBody[OwnerIn], if_match: IfMatch = None
) -> Tagged[ContactOut]:
    contact = await sharing.change_owner(ctx, contact_id, data.user_id, if_match=if_match)
    return tagged(await contact_out(ctx, contact), version=contact.version)


@get(SHARES, operation_id="list_contact_shares", summary="With whom a contact is shared", guards=[requires(READ)])
async def list_shares(ctx: Ctx, contact_id: FromPath[UUID]) -> SharesOut:
    """They count while the contact's `visibility` is `shared`."""
    shares = await sharing.shares_of(ctx, contact_id)
    return SharesOut(items=[convert(share, ShareOut, from_attributes=True) for share in shares])


@put(
    MEMBER,
    operation_id="share_contact_with_member",
    summary="Share a contact with a member",
    status_code=204,
    guards=[requires(WRITE)],
)
async def share_with_member(
    ctx: Ctx, contact_id: FromPath[UUID], user_id: FromPath[UUID], data: JSONBody[ShareIn]
) -> None:
    await sharing.share(ctx, contact_id, user_id, kind=Grantee.MEMBER, can_edit=data.can_edit)


@delete(
    MEMBER,
    operation_id="unshare_contact_with_member",
    summary="Share a contact with a member no longer",
    guards=[requires(WRITE)],
)
async def unshare_with_member(ctx: Ctx, contact_id: FromPath[UUID], user_id: FromPath[UUID]) -> None:
    await sharing.unshare(ctx, contact_id, user_id, kind=Grantee.MEMBER)


@put(
    TEAM,
    operation_id="share_contact_with_team",
    summary="Share a contact with a team",
    status_code=204,
    guards=[requires(WRITE)],
)
async def share_with_team(
    ctx: Ctx, contact_id: FromPath[UUID], team_id: FromPath[UUID], data: JSONBody[ShareIn]
) -> None:
    await sharing.share(ctx, contact_id, team_id, kind=Grantee.TEAM, can_edit=data.can_edit)


@delete(
    TEAM,
    operation_id="unshare_contact_with_team",
    summary="Share a contact with a team no longer",
    guards=[requires(WRITE)],
)
async def unshare_with_team(ctx: Ctx, contact_id: FromPath[UUID], team_id: FromPath[UUID]) -> None:
    await sharing.unshare(ctx, contact_id, team_id, kind=Grantee.TEAM)


SHARING_ROUTES = (
    change_owner,
    list_shares,
    share_with_member,
    unshare_with_member,
    share_with_team,
    unshare_with_team,
)
