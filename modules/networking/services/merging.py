"""Merging two contacts that are one person, and undoing it.

The merged contact keeps its row and its values; it only points to its survivor. Undoing gives it back untouched, puts
the survivor's columns back to what they were, and moves back what was moved. What people changed after the merge is
theirs and stays. Versions go up both ways, so that a form opened in between is refused.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import func, select, update

from core.sdk import Conflict, Ctx, FieldError, Invalid, NotFound, check_if_match, clock
from modules.networking.contract import ContactsMerged, ContactsUnmerged
from modules.networking.duplicate_schemas import FieldMerge, MergeIn, MergeOut, MergeUndone
from modules.networking.field_schemas import CUSTOM
from modules.networking.models import Contact, ContactInteraction, ContactMerge
from modules.networking.schemas import MAX_EMAILS
from modules.networking.services import stages
from modules.networking.services.contacts import RENAMED
from modules.networking.services.fields import held_fields, own_fields
from modules.networking.services.tagging import carry_tags, take_back_tags
from modules.networking.values import InteractionStatus, MergeField, StageSource, Visibility, strictest
from modules.networking.visibility import check_governed, check_rights, contacts_with_rights

UNDO: timedelta = timedelta(days=30)
DERIVED = {"phone": ["phone_e164"], "linkedin_url": ["linkedin_key"]}
"""Columns that go with a field, since they are made of it."""
COLUMNS = frozenset(
    {RENAMED.get(field, field.value) for field in MergeField}
    | {"phone_e164", "linkedin_key", "additional_emails", "marketing_consent", "last_interaction"}
)
"""What a merge can change of a survivor."""
HIDDEN = frozenset({"phone_e164", "linkedin_key"})
MOMENTS = frozenset({"last_interaction", "updated_at"})

type Values = dict[str, Any]


class Plan(Struct, frozen=True, kw_only=True):
    """What a merge will do; a preview shows it and stops there."""

    survivor: Contact
    other: Contact
    after: Values
    changes: list[FieldMerge]
    interaction_ids: Sequence[UUID]


async def preview_merge(ctx: Ctx, contact_id: UUID, data: MergeIn) -> MergeOut:
    """The very merge, but for the writing. Raises what `merge_contacts` raises."""
    return _told(await _plan(ctx, contact_id, data, if_match=None))


async def merge_contacts(ctx: Ctx, contact_id: UUID, data: MergeIn, *, if_match: str | None) -> MergeOut:
    """Raises `NotFound` for unknown or deleted contacts, and `Conflict` (`merged`) where one was merged already.

    Of two merges that want the same contact at once, the second waits and is told that.
    """
    plan = await _plan(ctx, contact_id, data, if_match=if_match)
    survivor, other, now = plan.survivor, plan.other, clock.now()
    before = {name: getattr(survivor, name) for name in plan.after} | _stamps(survivor)
    merge = ContactMerge(
        survivor_id=survivor.id,
        merged_id=other.id,
        created_by=ctx.user_id,
        before=_json(before),
        after=_json(plan.after | {"updated_at": now}),
        stamps=_json(_stamps(other)),
        interaction_ids=list(plan.interaction_ids),
        undo_until=now + UNDO,
    )
    stays = await stages.open_stays(ctx, survivor.id, other.id)
    await stages.announce(ctx, StageSource.MERGE)
    for name, value in plan.after.items():
        setattr(survivor, name, value)
    survivor.updated_by, survivor.updated_at = ctx.user_id, now
    other.is_deleted, other.deleted_at, other.merged_into, other.updated_by = True, now, survivor.id, ctx.user_id
    await ctx.db.flush()
    await _move(ctx, plan.interaction_ids, to=survivor.id)
    carried = await stages.carry(ctx, stays, other.id, to=survivor.id, at=now)
    merge.stages = msgspec.to_builtins(carried)
    merge.tag_ids = await carry_tags(ctx, of=other.id, to=survivor.id)
    ctx.db.add(merge)
    await ctx.db.flush()
    ctx.emit(ContactsMerged(survivor_id=survivor.id, merged_id=other.id))
    return _told(plan, merge)


async def undo_merge(ctx: Ctx, merge_id: UUID) -> MergeUndone:
    """Raises `Conflict` after 30 days (`undo-expired`), and where a later merge stands upon this one
    (`merged-since`): that one has to be undone first."""
    merge = await ctx.db.scalar(
        select(ContactMerge)
        .where(ContactMerge.organization_id == ctx.organization_id, ContactMerge.id == merge_id)
        .with_for_update()
    )
    if merge is None:
        raise NotFound("There is no such merge")
    if clock.now() > merge.undo_until:
        raise Conflict("It was merged more than 30 days ago", code="undo-expired")
    contacts = await _locked(ctx, merge.survivor_id, merge.merged_id)
    survivor, other = contacts[merge.survivor_id], contacts[merge.merged_id]
    await _refuse_later_merges(ctx, merge)
    carried = msgspec.convert(merge.stages, stages.Carried)
    stays = await stages.open_stays(ctx, survivor.id)
    untouched = carried.entered is not None and stays.get(survivor.id) == carried.entered
    await stages.announce(ctx, "undo" if untouched else StageSource.MERGE)
    kept = _put_back(survivor, merge)
    other.is_deleted, other.deleted_at, other.merged_into = False, None, None
    _restamp(other, merge.stamps)
    await ctx.db.delete(merge)
    await ctx.db.flush()
    await _move(ctx, merge.interaction_ids, to=other.id, of=survivor.id)
    await stages.carry_back(ctx, carried, to=other.id, of=survivor.id)
    if untouched:
        await stages.reopen(ctx, carried)
    await take_back_tags(ctx, survivor.id, merge.tag_ids)
    await _keep_last_interaction(ctx, survivor.id)
    ctx.emit(ContactsUnmerged(survivor_id=survivor.id, restored_id=other.id))
    return MergeUndone(survivor_id=survivor.id, restored_id=other.id, kept=kept)


async def _plan(ctx: Ctx, contact_id: UUID, data: MergeIn, *, if_match: str | None) -> Plan:
    if contact_id == data.other_id:
        raise Invalid("A contact can't be merged into itself", code="same-contact")
    contacts = await _locked(ctx, contact_id, data.other_id)
    survivor = _standing(contacts, contact_id)
    check_if_match(if_match, survivor.version)
    other = _standing(contacts, data.other_id)
    if other.visibility not in {Visibility.ORGANIZATION, survivor.visibility}:
        check_governed(ctx, other)  # what stands with it becomes known to others
    interactions = await ctx.db.scalars(
        select(ContactInteraction.id)
        .where(
            ContactInteraction.organization_id == ctx.organization_id,
            ContactInteraction.contact_id == other.id,
        )
        .order_by(ContactInteraction.id)
    )
    await _refuse_unknown_fields(ctx, take=data.take, keep=data.keep)
    merged = merged_values(survivor, other, take=data.take, keep=data.keep)
    after = {name: value for name, value in merged.items() if getattr(survivor, name) != value}
    return Plan(
        survivor=survivor,
        other=other,
        after=after,
        changes=_changes(survivor, other, after),
        interaction_ids=interactions.all(),
    )


async def _locked(ctx: Ctx, *ids: UUID) -> dict[UUID, Contact]:
    """In the order of their ids, so that two merges can't wait for each other. Raises `NotFound` where one of them is
    not for the caller's eyes, and `Forbidden` where it is not theirs to change."""
    found = await ctx.db.execute(
        contacts_with_rights(ctx)
        .where(Contact.id.in_(ids))
        .order_by(Contact.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {
        contact.id: check_rights(contact, is_seen=is_seen, may_change=may_change)
        for contact, is_seen, may_change in found
    }


def _standing(contacts: Mapping[UUID, Contact], contact_id: UUID) -> Contact:
    contact = contacts.get(contact_id)
    if contact is not None and contact.merged_into is not None:
        raise Conflict("It was merged into another contact", code="merged", conflicts_with=[contact.merged_into])
    if contact is None or contact.is_deleted:
        raise NotFound("There is no such contact")
    return contact


async def _refuse_unknown_fields(ctx: Ctx, **chosen: Sequence[str]) -> None:
    keys = own_fields([field for fields in chosen.values() for field in fields])
    known = await held_fields(ctx, keys) if keys else {}
    errors = [
        FieldError(field=f"{name}.{index}", code="unknown", message="There is no such field")
        for name, fields in chosen.items()
        for index, field in enumerate(fields)
        if field.startswith(CUSTOM) and field.removeprefix(CUSTOM) not in known
    ]
    if errors:
        raise Invalid(errors=errors)


def _changes(survivor: Contact, other: Contact, after: Values) -> list[FieldMerge]:
    """What the merge changes, each of the organization's own fields by itself."""
    changes = [
        FieldMerge(field=name.rstrip("_"), survivor=getattr(survivor, name), other=getattr(other, name), result=result)
        for name, result in after.items()
        if name not in HIDDEN and name != "custom"
    ]
    mine, theirs, result = survivor.custom, other.custom, after.get("custom", survivor.custom)
    return changes + [
        FieldMerge(field=CUSTOM + key, survivor=mine.get(key), other=theirs.get(key), result=result.get(key))
        for key in _differing(mine, result)
    ]


def _differing(one: Values, other: Values) -> list[str]:
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]


def merged_custom(mine: Values, theirs: Values, *, take: Collection[str] = (), keep: Collection[str] = ()) -> Values:
    """The organization's own fields, each chosen as a column is; what is said of one stands above what is said of all.
    One that is taken where the other lacks it is taken away."""
    values: Values = {}
    for key in sorted({*mine, *theirs}):
        said = CUSTOM + key if CUSTOM + key in {*take, *keep} else MergeField.CUSTOM
        lacks = key not in mine
        source = theirs if said not in keep and (lacks or said in take) else mine
        if key in source:
            values[key] = source[key]
    return values


def merged_values(
    survivor: Contact, other: Contact, *, take: Collection[str] = (), keep: Collection[str] = ()
) -> Values:
    """The survivor's columns once the other is merged into it. A field that is to be kept and taken is kept."""
    values: Values = {}
    for field in MergeField:
        name = RENAMED.get(field, field.value)
        lacks = getattr(survivor, name) in (None, "")
        source = other if field not in keep and (lacks or field in take) else survivor
        values |= {column: getattr(source, column) for column in (name, *DERIVED.get(name, ()))}
    if MergeField.METADATA not in {*take, *keep}:
        values["metadata_"] = other.metadata_ | survivor.metadata_
    values["custom"] = merged_custom(survivor.custom, other.custom, take=take, keep=keep)
    addresses = [survivor.email, *survivor.additional_emails, other.email, *other.additional_emails]
    kept = [address for address in dict.fromkeys(addresses) if address and address != values["email"]]
    values["additional_emails"] = kept[: MAX_EMAILS - 1]
    values["marketing_consent"] = strictest(survivor.marketing_consent, other.marketing_consent).value
    met = [moment for moment in (survivor.last_interaction, other.last_interaction) if moment]
    values["last_interaction"] = max(met, default=None)
    return values


async def _refuse_later_merges(ctx: Ctx, merge: ContactMerge) -> None:
    """Merges that took the survivor further on, or have set the same columns after this one."""
    standing = await ctx.db.scalars(
        select(ContactMerge)
        .where(
            ContactMerge.organization_id == ctx.organization_id,
            ContactMerge.id != merge.id,
            (ContactMerge.merged_id == merge.survivor_id)
            | ((ContactMerge.survivor_id == merge.survivor_id) & (ContactMerge.created_at >= merge.created_at)),
        )
        .order_by(ContactMerge.created_at.desc())
    )
    for later in standing:
        if later.merged_id == merge.survivor_id or _set_by(later) & _set_by(merge):
            raise Conflict("Undo the later merge first", code="merged-since", conflicts_with=[later.id])


def _set_by(merge: ContactMerge) -> set[str]:
    """The fields that a merge changed, each of the organization's own by itself."""
    columns = (set(merge.after) & COLUMNS) - {"custom"}
    own = _differing(merge.before["custom"], merge.after["custom"]) if "custom" in merge.after else []
    return columns | {CUSTOM + key for key in own}


def _put_back(survivor: Contact, merge: ContactMerge) -> list[str]:
    """Columns that still are what the merge made of them become what they were. Returns the fields that stay."""
    untouched = survivor.updated_at == _stored("updated_at", merge.after.get("updated_at"))
    changed = [name for name in merge.after if name in COLUMNS and name != "custom"]
    kept = [name for name in changed if getattr(survivor, name) != _stored(name, merge.after[name])]
    kept += [column for name in kept for column in DERIVED.get(name, ())]
    for name in changed:
        if name not in kept:
            setattr(survivor, name, _stored(name, merge.before[name]))
    own = _put_back_custom(survivor, merge.before["custom"], merge.after["custom"]) if "custom" in merge.after else []
    if untouched:
        _restamp(survivor, merge.before)
    return [*(name.rstrip("_") for name in kept if name not in HIDDEN), *own]


def _put_back_custom(survivor: Contact, before: Values, after: Values) -> list[str]:
    values, kept = dict(survivor.custom), list[str]()
    for key in _differing(before, after):
        if values.get(key) != after.get(key):
            kept.append(CUSTOM + key)
        elif key in before:
            values[key] = before[key]
        else:
            del values[key]
    survivor.custom = values
    return kept


def _stamps(contact: Contact) -> Values:
    return {"updated_by": contact.updated_by, "updated_at": contact.updated_at}


def _restamp(contact: Contact, stamps: Mapping[str, Any]) -> None:
    if "updated_at" in stamps:
        contact.updated_by = msgspec.convert(stamps["updated_by"], UUID | None)
        contact.updated_at = _stored("updated_at", stamps["updated_at"])


def _json(values: Values) -> Values:
    return cast("Values", msgspec.to_builtins(values))


def _stored(name: str, value: Any) -> Any:
    return msgspec.convert(value, datetime | None) if name in MOMENTS else value


async def _move(ctx: Ctx, ids: Sequence[UUID], *, to: UUID, of: UUID | None = None) -> None:
    """Interactions change hands and nothing else of them; `of` leaves out those that went on to another contact."""
    if not ids:
        return
    statement = update(ContactInteraction).where(
        ContactInteraction.organization_id == ctx.organization_id, ContactInteraction.id.in_(ids)
    )
    if of is not None:
        statement = statement.where(ContactInteraction.contact_id == of)
    await ctx.db.execute(
        statement.values(contact_id=to, updated_at=ContactInteraction.updated_at).execution_options(
            synchronize_session=False
        )
    )


async def _keep_last_interaction(ctx: Ctx, contact_id: UUID) -> None:
    """What was logged with the survivor after the merge stays with it, and counts."""
    latest = (
        select(func.max(ContactInteraction.interaction_date))
        .where(
            ContactInteraction.organization_id == ctx.organization_id,
            ContactInteraction.contact_id == contact_id,
            ContactInteraction.status == InteractionStatus.COMPLETED,
            ContactInteraction.interaction_date <= clock.now(),
            ~ContactInteraction.is_deleted,
        )
        .scalar_subquery()
    )
    await ctx.db.execute(
        update(Contact)
        .where(Contact.organization_id == ctx.organization_id, Contact.id == contact_id)
        .values(last_interaction=func.greatest(Contact.last_interaction, latest), updated_at=Contact.updated_at)
        .execution_options(synchronize_session=False)
    )


def _told(plan: Plan, merge: ContactMerge | None = None) -> MergeOut:
    return MergeOut(
        id=merge.id if merge else None,
        survivor_id=plan.survivor.id,
        merged_id=plan.other.id,
        changes=plan.changes,
        moved_interactions=len(plan.interaction_ids),
        undo_until=merge.undo_until if merge else None,
    )
