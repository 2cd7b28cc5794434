"""What networking holds about a person beyond the columns that say so themselves, and how it knows the erased again."""

import re
from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    any_,
    bindparam,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from core.sdk import Ctx, Read, clock, mine, new_id
from modules.networking.connection_models import Connection
from modules.networking.embedding_models import ContactEmbedding
from modules.networking.keys import Key, keys_of
from modules.networking.matching_models import MatchFeedback, MatchingProfile
from modules.networking.models import Contact, ContactImportRow, ContactMerge, ErasedKey
from modules.networking.saved_view_models import SavedView
from modules.networking.score_models import ContactScore
from modules.networking.services.duplicates import claim_all_keys
from modules.networking.services.erased_views import forget_in_views

IDENTITY = ("email", "additional_emails", "phone_e164", "linkedin_key")
MOST_MERGED = 1000
"""Contacts that are one person; a guard against a circle that only a broken database could have."""

ANYBODY_ERASED = Read(select(ErasedKey.id).where(mine(ErasedKey)).limit(literal_column("1")))
ERASED_AMONG = Read(
    select(ErasedKey.fingerprint).where(
        mine(ErasedKey), ErasedKey.fingerprint == any_(bindparam("fingerprints", type_=ARRAY(LargeBinary)))
    )
)


async def same_person(ctx: Ctx, subject_id: UUID) -> list[UUID]:
    """The contact that it was merged into, and all that were merged into that one."""
    mine = Contact.organization_id == ctx.organization_id
    up = select(Contact.id, Contact.merged_into).where(mine, Contact.id == subject_id).cte("up", recursive=True)
    above = aliased(Contact)
    up = up.union(_next(ctx, above).join(up, above.id == up.c.merged_into))
    down = select(up.c.id).cte("down", recursive=True)
    below = aliased(Contact)
    down = down.union(_next(ctx, below).with_only_columns(below.id).join(down, below.merged_into == down.c.id))
    others = select(down.c.id).where(down.c.id != subject_id).order_by(down.c.id).limit(MOST_MERGED)
    return list(await ctx.db.scalars(others))


def _next(ctx: Ctx, contact: Any) -> Select[UUID, UUID | None]:
    return select(contact.id, contact.merged_into).where(contact.organization_id == ctx.organization_id)


async def held(ctx: Ctx, subject_id: UUID) -> AsyncIterator[dict[str, Any]]:
    """A contact's score with its reasons; a member's connections. Blocks are told to whom they are of alone."""
    scores = await ctx.db.scalars(
        select(ContactScore).where(
            ContactScore.organization_id == ctx.organization_id, ContactScore.contact_id == subject_id
        )
    )
    for score in scores.all():
        yield {"score": {"score": score.score, "as_of": score.as_of.isoformat(), "lines": score.lines}}
    connections = await ctx.db.scalars(select(Connection).where(*_with(ctx, subject_id)).order_by(Connection.id))
    for connection in connections.all():
        yield {
            "connection": {
                "with": str(connection.other_than(subject_id)),
                "state": connection.state,
                "asked": connection.requested_by == subject_id,
                "blocked": connection.is_blocked_by(subject_id),
                "since": connection.created_at.isoformat(),
            }
        }


async def suppress(ctx: Ctx, subject_id: UUID) -> bool:
    """Keep fingerprints of what identifies the contact, and forget the rows of files that named it and were not taken,
    and the views that name it. Returns whether there was anything to know it by.

    An import that is at work waits, or is waited for: none takes a row of theirs in between.
    """
    await claim_all_keys(ctx)
    contact = await ctx.db.scalar(
        select(Contact).where(Contact.organization_id == ctx.organization_id, Contact.id == subject_id)
    )
    await forget_in_views(ctx, subject_id, contact)
    keys = keys_of({name: getattr(contact, name) for name in IDENTITY}) if contact else []
    if contact is None or not keys:
        return False
    rows = [
        {"organization_id": ctx.organization_id, "id": new_id(), "fingerprint": fingerprint_of(ctx, key)}
        for key in sorted(keys)
    ]
    await ctx.db.execute(insert(ErasedKey).values(rows).on_conflict_do_nothing())
    await _forget_rows(ctx, contact, keys)
    return True


def fingerprint_of(ctx: Ctx, key: Key) -> bytes:
    return ctx.fingerprint(f"networking.contact.{key.kind}", key.value)


async def erased_among(ctx: Ctx, keys: Iterable[Key]) -> set[Key]:
    """Those of the keys that identified somebody who has been erased. Where nobody was, none is even looked for."""
    if not await ctx.db.rows(ANYBODY_ERASED):
        return set()
    wanted = {fingerprint_of(ctx, key): key for key in keys}
    found = await ctx.db.rows(ERASED_AMONG, fingerprints=list(wanted))
    return {wanted[row["fingerprint"]] for row in found}


async def _forget_rows(ctx: Ctx, contact: Contact, keys: Iterable[Key]) -> None:
    """Rows of other contacts, or of none, in whose cells the address, the number or the profile stands. What was wrong
    with them stays: it never quotes a value."""
    cell = func.unnest(ContactImportRow.cells).column_valued("cell")
    numbers = {re.sub(r"\D", "", text) for text in (contact.phone, contact.phone_e164) if text}
    said: list[ColumnElement[bool]] = [
        func.strpos(func.lower(cell, type_=Text), key.value) > 0 for key in keys if key.kind != "phone"
    ]
    said += [func.regexp_replace(cell, r"\D", "", "g") == number for number in numbers if number]
    await ctx.db.execute(
        update(ContactImportRow)
        .where(
            ContactImportRow.organization_id == ctx.organization_id,
            ContactImportRow.contact_id.is_distinct_from(contact.id),
            ContactImportRow.cells.is_not(None),
            select(cell).where(or_(*said)).exists(),
        )
        .values(cells=None)
        .execution_options(synchronize_session=False)
    )


async def forget(ctx: Ctx, subject_id: UUID) -> None:
    """A contact's score, its vector, its merges, which can't be undone after that, and its place in the lists: it goes
    to the trash. A member's connections, those blocked too, their profile, and views that they shared with nobody. What
    was said of recommendations of either."""
    mine = ctx.organization_id
    merged = or_(ContactMerge.survivor_id == subject_id, ContactMerge.merged_id == subject_id)
    views = SavedView.organization_id == mine, SavedView.owner_id == subject_id
    judged = or_(MatchFeedback.about_id == subject_id, MatchFeedback.other_id == subject_id)
    for statement in (
        delete(ContactScore).where(ContactScore.organization_id == mine, ContactScore.contact_id == subject_id),
        delete(ContactEmbedding).where(
            ContactEmbedding.organization_id == mine, ContactEmbedding.contact_id == subject_id
        ),
        delete(ContactMerge).where(ContactMerge.organization_id == mine, merged),
        delete(MatchingProfile).where(MatchingProfile.organization_id == mine, MatchingProfile.user_id == subject_id),
        delete(MatchFeedback).where(MatchFeedback.organization_id == mine, judged),
        update(Contact)
        .where(Contact.organization_id == mine, Contact.id == subject_id, ~Contact.is_deleted)
        .values(is_deleted=True, deleted_at=clock.now()),
        delete(Connection).where(*_with(ctx, subject_id)),
        delete(SavedView).where(*views, ~SavedView.is_shared),
        update(SavedView).where(*views).values(owner_id=None),
    ):
        await ctx.db.execute(statement.execution_options(synchronize_session=False))


def _with(ctx: Ctx, subject_id: UUID) -> tuple[Any, Any]:
    own = or_(Connection.first_id == subject_id, Connection.second_id == subject_id)
    return Connection.organization_id == ctx.organization_id, own
