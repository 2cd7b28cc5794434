"""Contacts: create, change, delete, restore. The same rules serve the API and the import."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET

from core.sdk import Conflict, Ctx, NotFound, Together, check_if_match, clock
from modules.networking.contract import (
    ContactCreated,
    ContactDeleted,
    ContactRestored,
    ContactStageChanged,
    ContactUpdated,
)
from modules.networking.field_queries import REQUIRED_FIELDS
from modules.networking.field_schemas import CUSTOM
from modules.networking.field_values import Field
from modules.networking.keys import keys_of, linkedin_key, phone_key
from modules.networking.models import Contact
from modules.networking.pipeline import NOT_ALLOWED, STAGE, StageField, is_step_back
from modules.networking.schemas import ContactIn, ContactPatch
from modules.networking.services.duplicates import FIND, Match, claim_keys, refuse_duplicates, refuse_matches, sought
from modules.networking.services.fields import custom_values
from modules.networking.services.stages import announce, refuse_move
from modules.networking.services.tagging import set_tags
from modules.networking.stage_schemas import StageMove
from modules.networking.values import StageSource
from modules.networking.visibility import check_governed, check_rights, contacts_with_rights

RENAMED = {"metadata": "metadata_"}
"""Fields whose column can't bear their name in Python."""
BEFORE_A_NEW_CONTACT = Together(required=REQUIRED_FIELDS, matches=FIND)
MERGE_DEPTH = 50
"""Merges in a row that an old id is followed through."""


def stored(data: ContactIn | ContactPatch) -> dict[str, Any]:
    """The columns that are sent; tags are in none. An address is stored in lower case: it is the same person in any
    case."""
    sent = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    for name in ("stage_reason", "tags"):
        sent.pop(name, None)
    values = {RENAMED.get(name, name): value for name, value in sent.items()}
    if values.get("email"):
        values["email"] = values["email"].lower()
    if values.get("additional_emails"):
        values["additional_emails"] = list(dict.fromkeys(map(str.lower, values["additional_emails"])))
    return values


async def identified(ctx: Ctx, values: dict[str, Any]) -> dict[str, Any]:
    """The columns, and those that are made of them: what the number and the profile are, however they are written."""
    if "phone" in values:
        phone: str | None = values["phone"]
        at_home = phone is not None and not phone.strip().startswith("+")
        values["phone_e164"] = phone_key(phone, await country_of(ctx) if at_home else None)
    if "linkedin_url" in values:
        values["linkedin_key"] = linkedin_key(values["linkedin_url"])
    return values


async def country_of(ctx: Ctx) -> str | None:
    """Where the organization's numbers without a country code are at home."""
    return (await ctx.organization_settings()).get("country")


async def create_contact(ctx: Ctx, data: ContactIn, *, allow_duplicate: bool = False) -> Contact:
    """Raises `Conflict` (`duplicate-contact`) where somebody has its address, number or profile already, and
    `Invalid` with all that its stage takes and it lacks."""
    values = await identified(ctx, stored(data))
    keys = [] if allow_duplicate else keys_of(values)
    await claim_keys(ctx, keys)
    [known] = await ctx.db.rows(BEFORE_A_NEW_CONTACT, **sought(ctx, keys))
    required = msgspec.json.decode(known["required"], type=list[Field])
    values["custom"] = await custom_values(ctx, values["custom"], stored={}, required=required)
    refuse_move(ctx, None, values)
    refuse_matches(msgspec.json.decode(known["matches"], type=list[Match]))
    whose = {"owner_id": ctx.user_id, "created_by": ctx.user_id, "updated_by": ctx.user_id}
    contact = await ctx.db.insert(Contact, **values, **whose)
    if data.tags:
        await set_tags(ctx, contact.id, data.tags)
    ctx.emit(ContactCreated(contact_id=contact.id))
    return contact


async def find_contact(ctx: Ctx, contact_id: UUID, *, to_change: bool = False) -> Contact:
    """The contact, or the one that it was merged into. Raises `NotFound` where there is none that the caller may see,
    or it is deleted; and `Forbidden` where it is `to_change` and they may only see it."""
    found = await _contact(ctx, contact_id)
    for _ in range(MERGE_DEPTH):
        if found is None or found[0].merged_into is None:
            break
        found = await _contact(ctx, found[0].merged_into)
    if found is None or found[0].is_deleted:
        raise NotFound("There is no such contact")
    contact, is_seen, may_change = found
    return check_rights(contact, is_seen=is_seen, may_change=may_change or not to_change)


async def _contact(ctx: Ctx, contact_id: UUID) -> tuple[Contact, bool, bool] | None:
    """The contact, whether the caller may see it, and whether they may change it."""
    return (await ctx.db.execute(contacts_with_rights(ctx).where(Contact.id == contact_id))).one_or_none()


async def update_contact(
    ctx: Ctx, contact_id: UUID, data: ContactPatch, *, if_match: str | None, allow_duplicate: bool = False
) -> Contact:
    """Raises `PreconditionFailed` where the contact changed since the client read it, and `Conflict`
    (`duplicate-contact`) where somebody else has the address, number or profile that it would get; where the stage
    changes, what `refuse_move` raises."""
    contact = await find_contact(ctx, contact_id, to_change=True)
    check_if_match(if_match, contact.version)
    return await _change(ctx, contact, data, allow_duplicate=allow_duplicate)


async def move_contact(
    ctx: Ctx, contact_id: UUID, data: StageMove, *, if_match: str | None, allow_duplicate: bool = False
) -> Contact:
    """Take a contact to another stage, with what that stage takes. Raises what `update_contact` raises, and `Conflict`
    (`stage-not-allowed`) where it is there already."""
    contact = await find_contact(ctx, contact_id, to_change=True)
    check_if_match(if_match, contact.version)
    if contact.contact_type == data.contact_type:
        raise Conflict(f"It is a {data.contact_type} already", code=NOT_ALLOWED)
    return await _change(ctx, contact, data, allow_duplicate=allow_duplicate)


async def _change(ctx: Ctx, contact: Contact, data: ContactPatch, *, allow_duplicate: bool) -> Contact:
    values = await identified(ctx, stored(data))
    if "custom" in values:
        values["custom"] = await custom_values(ctx, values["custom"], stored=contact.custom)
    known = set(keys_of(_identity(contact)))
    changed = [name for name, value in values.items() if getattr(contact, name) != value]
    if "visibility" in changed:
        check_governed(ctx, contact)
    retagged = data.tags is not UNSET and await set_tags(ctx, contact.id, data.tags)
    if not changed and not retagged:
        return contact
    stage, reason = contact.contact_type, data.stage_reason or None
    before = {name: getattr(contact, name) for name in (STAGE, *StageField, "custom")}
    refuse_move(ctx, before, before | values, reason)
    if STAGE in changed:
        await announce(ctx, StageSource.API, {contact.id: reason})
    fields = [*_told(contact, values, changed), *(["tags"] if retagged else [])]
    for name in changed:
        setattr(contact, name, values[name])
    with ctx.db.no_autoflush:
        if not allow_duplicate:
            keys = set(keys_of(_identity(contact))) - known
            await claim_keys(ctx, keys)
            await refuse_duplicates(ctx, keys, besides=contact.id)
    contact.updated_by, contact.updated_at = ctx.user_id, clock.now()
    await ctx.db.flush()
    ctx.emit(ContactUpdated(contact_id=contact.id, changed=fields))
    if STAGE in changed:
        ctx.emit(_stage_changed(contact, stage))
    return contact


def _told(contact: Contact, values: dict[str, Any], changed: list[str]) -> list[str]:
    """What events call the columns that change, and each custom field by itself."""
    fields = [name.rstrip("_") for name in changed if name not in {"phone_e164", "linkedin_key", "custom"}]
    if "custom" in changed:
        before, after = contact.custom, values["custom"]
        fields += [CUSTOM + key for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    return fields


def _stage_changed(contact: Contact, before: str) -> ContactStageChanged:
    return ContactStageChanged(
        contact_id=contact.id,
        from_stage=before,
        to_stage=contact.contact_type,
        is_step_back=is_step_back(before, contact.contact_type),
    )


def _identity(contact: Contact) -> dict[str, Any]:
    return {name: getattr(contact, name) for name in ("email", "additional_emails", "phone_e164", "linkedin_key")}


async def delete_contact(ctx: Ctx, contact_id: UUID, *, if_match: str | None) -> None:
    """By its own id alone: a program that deletes what it knows as merged must not take the other one with it."""
    contact = await find_contact(ctx, contact_id, to_change=True)
    if contact.id != contact_id:
        raise Conflict("It was merged into another contact", code="merged", conflicts_with=[contact.id])
    check_if_match(if_match, contact.version)
    contact.is_deleted, contact.deleted_at, contact.updated_by = True, clock.now(), ctx.user_id
    ctx.emit(ContactDeleted(contact_id=contact.id))


async def restore_contact(ctx: Ctx, contact_id: UUID) -> Contact:
    """Raises `Conflict` where the contact is not deleted or is merged, and `NotFound` where there never was one."""
    found = await _contact(ctx, contact_id)
    if found is None:
        raise NotFound("There is no such contact")
    contact, is_seen, may_change = found
    check_rights(contact, is_seen=is_seen, may_change=may_change)
    if contact.merged_into is not None:
        raise Conflict(
            "It was merged into another contact: undo that", code="merged", conflicts_with=[contact.merged_into]
        )
    if not contact.is_deleted:
        raise Conflict("The contact is not deleted", code="not-deleted")
    contact.is_deleted, contact.deleted_at, contact.updated_by = False, None, ctx.user_id
    await ctx.db.flush()
    ctx.emit(ContactRestored(contact_id=contact.id))
    return contact
