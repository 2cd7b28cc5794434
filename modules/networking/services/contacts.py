"""Contacts: create, change, delete, restore. The same rules serve the API and the import."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy import select

from core.sdk import Conflict, Ctx, NotFound, check_if_match, clock
from modules.networking.contract import ContactCreated, ContactDeleted, ContactRestored, ContactUpdated
from modules.networking.models import Contact
from modules.networking.schemas import ContactIn, ContactPatch

RENAMED = {"metadata": "metadata_"}
"""Fields whose column can't bear their name in Python."""


def contact_values(data: ContactIn) -> dict[str, Any]:
    """The columns of a new contact. An address is stored in lower case: it is the same person in any case."""
    values = {RENAMED.get(name, name): value for name, value in msgspec.structs.asdict(data).items()}
    if data.email is not None:
        values["email"] = data.email.lower()
    return values


async def create_contact(ctx: Ctx, data: ContactIn) -> Contact:
    contact = Contact(**contact_values(data), created_by=ctx.user_id, updated_by=ctx.user_id)
    ctx.db.add(contact)
    await ctx.db.flush()
    ctx.emit(ContactCreated(contact_id=contact.id))
    return contact


async def find_contact(ctx: Ctx, contact_id: UUID, *, deleted: bool = False) -> Contact:
    """Raises `NotFound` where there is none in this organization, or it is deleted (or, with `deleted`, is not)."""
    contact = await ctx.db.scalar(
        select(Contact).where(
            Contact.organization_id == ctx.organization_id,
            Contact.id == contact_id,
            Contact.is_deleted == deleted,
        )
    )
    if contact is None:
        raise NotFound("There is no such contact")
    return contact


async def update_contact(ctx: Ctx, contact_id: UUID, data: ContactPatch, *, if_match: str | None) -> Contact:
    """Raises `PreconditionFailed` where the contact changed since the client read it."""
    contact = await find_contact(ctx, contact_id)
    check_if_match(if_match, contact.version)
    changed: list[str] = []
    for name, value in msgspec.structs.asdict(data).items():
        if value is UNSET:
            continue
        column = RENAMED.get(name, name)
        stored = value.lower() if name == "email" and value is not None else value
        if getattr(contact, column) != stored:
            setattr(contact, column, stored)
            changed.append(name)
    if changed:
        contact.updated_by = ctx.user_id
        await ctx.db.flush()
        ctx.emit(ContactUpdated(contact_id=contact.id, changed=changed))
    return contact


async def delete_contact(ctx: Ctx, contact_id: UUID, *, if_match: str | None) -> None:
    contact = await find_contact(ctx, contact_id)
    check_if_match(if_match, contact.version)
    contact.is_deleted, contact.deleted_at, contact.updated_by = True, clock.now(), ctx.user_id
    ctx.emit(ContactDeleted(contact_id=contact.id))


async def restore_contact(ctx: Ctx, contact_id: UUID) -> Contact:
    """Raises `Conflict` where the contact is not deleted, and `NotFound` where there never was one."""
    contact = await ctx.db.scalar(
        select(Contact).where(Contact.organization_id == ctx.organization_id, Contact.id == contact_id)
    )
    if contact is None:
        raise NotFound("There is no such contact")
    if not contact.is_deleted:
        raise Conflict("The contact is not deleted", code="not-deleted")
    contact.is_deleted, contact.deleted_at, contact.updated_by = False, None, ctx.user_id
    await ctx.db.flush()
    ctx.emit(ContactRestored(contact_id=contact.id))
    return contact
