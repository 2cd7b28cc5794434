"""Whose a contact is, and with whom it is shared."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from core.sdk import Ctx, NotFound, People, check_if_match, clock, new_id
from modules.networking.contract import ContactUpdated
from modules.networking.models import Contact
from modules.networking.services.contacts import find_contact
from modules.networking.sharing_models import ContactShare
from modules.networking.values import Grantee
from modules.networking.visibility import check_governed


async def change_owner(ctx: Ctx, contact_id: UUID, user_id: UUID, *, if_match: str | None) -> Contact:
    """Raises `NotFound` for somebody who is no active member, and `Forbidden` for whoever is not the owner."""
    contact = await _governed(ctx, contact_id)
    check_if_match(if_match, contact.version)
    if contact.owner_id == user_id:
        return contact
    await People(ctx).active(user_id)
    contact.owner_id, contact.updated_by = user_id, ctx.user_id
    await ctx.db.flush()
    ctx.emit(ContactUpdated(contact_id=contact.id, changed=["owner_id"]))
    return contact


async def shares_of(ctx: Ctx, contact_id: UUID) -> Sequence[ContactShare]:
    """The oldest first. Whoever sees the contact sees them."""
    contact = await find_contact(ctx, contact_id)
    found = await ctx.db.scalars(
        select(ContactShare)
        .where(ContactShare.organization_id == ctx.organization_id, ContactShare.contact_id == contact.id)
        .order_by(ContactShare.created_at, ContactShare.id)
    )
    return found.all()


async def share(ctx: Ctx, contact_id: UUID, grantee_id: UUID, *, kind: Grantee, can_edit: bool) -> None:
    """Share it, or change how it is shared. It counts while the contact's visibility is `shared`.

    Raises `NotFound` for somebody who is no active member, and for a team that there is not.
    """
    contact = await _governed(ctx, contact_id)
    if kind is Grantee.MEMBER:
        await People(ctx).active(grantee_id)
    else:
        await People(ctx).team(grantee_id)
    statement = insert(ContactShare).values(
        organization_id=ctx.organization_id,
        id=new_id(),
        contact_id=contact.id,
        kind=kind,
        grantee_id=grantee_id,
        can_edit=can_edit,
        created_by=ctx.user_id,
    )
    written = await ctx.db.scalar(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "contact_id", "grantee_id"],
            set_={"can_edit": can_edit, "updated_at": clock.now(), "version": ContactShare.version + 1},
            where=ContactShare.can_edit != can_edit,
        ).returning(ContactShare.id)
    )
    if written is not None:
        ctx.emit(ContactUpdated(contact_id=contact.id, changed=["shares"]))


async def unshare(ctx: Ctx, contact_id: UUID, grantee_id: UUID, *, kind: Grantee) -> None:
    """Raises `NotFound` where it is not shared with them."""
    contact = await _governed(ctx, contact_id)
    gone = await ctx.db.scalar(
        delete(ContactShare)
        .where(
            ContactShare.organization_id == ctx.organization_id,
            ContactShare.contact_id == contact.id,
            ContactShare.grantee_id == grantee_id,
            ContactShare.kind == kind,
        )
        .returning(ContactShare.id)
        .execution_options(synchronize_session=False)
    )
    if gone is None:
        raise NotFound("The contact is not shared with them")
    ctx.emit(ContactUpdated(contact_id=contact.id, changed=["shares"]))


async def _governed(ctx: Ctx, contact_id: UUID) -> Contact:
    contact = await find_contact(ctx, contact_id)
    check_governed(ctx, contact)
    return contact
