"""Who may be the same person: exact duplicates, and people whose names and companies are alike.

The score is the likeness of the names and, where both are known, of the companies, as PostgreSQL's trigrams see it:
70 of 100 points for the name and 30 for the company; a company that is unknown counts as half alike. Nothing random,
nothing learnt: the same two contacts always get the same score for the same reasons.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import batched
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Float, Uuid, bindparam, column, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from core.sdk import Ctx, Invalid, clock, new_id
from modules.networking.duplicate_schemas import DuplicateOut
from modules.networking.keys import Key, keys_of
from modules.networking.models import Contact, DuplicatePair
from modules.networking.services.contacts import find_contact
from modules.networking.services.duplicates import find_matches
from modules.networking.values import DuplicateReason, DuplicateTier
from modules.networking.visibility import visible_to

BATCH_CONTACTS = 200
BATCHES_A_JOB = 10
ROWS_A_STATEMENT = 1000
"""A statement takes 32,767 values."""
LIKELY = 60
"""The score from which on two contacts are shown as a pair."""
UNKNOWN_COMPANY = 0.5
SAME = 0.999
SAME_KEY = {
    "email": DuplicateReason.SAME_EMAIL,
    "phone": DuplicateReason.SAME_PHONE,
    "linkedin": DuplicateReason.SAME_LINKEDIN,
}
IDENTIFYING = (Contact.email, Contact.additional_emails, Contact.phone_e164, Contact.linkedin_key)
SIMILAR = func.networking.find_similar(bindparam("ids", type_=ARRAY(Uuid))).table_valued(
    column("contact_id", Uuid), column("other_id", Uuid), column("name", Float), column("company", Float)
)
FIND_SIMILAR = select(SIMILAR.c.contact_id, SIMILAR.c.other_id, SIMILAR.c.name, SIMILAR.c.company)

type Pair = tuple[UUID, UUID]


def score_of(name: float, company: float | None) -> tuple[int, list[DuplicateReason]]:
    """Points out of 100 for two likenesses from 0 to 1, and what speaks for it."""
    points = round(70 * name + 30 * (UNKNOWN_COMPANY if company is None else company))
    reasons = [DuplicateReason.SAME_NAME if name >= SAME else DuplicateReason.SIMILAR_NAME]
    if company is not None and company >= SAME:
        reasons.append(DuplicateReason.SAME_COMPANY)
    elif company is not None and company >= UNKNOWN_COMPANY:
        reasons.append(DuplicateReason.SIMILAR_COMPANY)
    return points, reasons


async def duplicates_of(ctx: Ctx, contact_id: UUID) -> list[DuplicateOut]:
    """The likeliest first, without those of whom somebody said that they are others. Raises `NotFound`."""
    contact = await find_contact(ctx, contact_id)
    found = await _look(ctx, [contact.id])
    found = await _seen(ctx, found)
    others = {other for pair in found for other in pair} - {contact.id}
    dismissed = await _dismissed(ctx, contact.id)
    return sorted(
        (shown for pair, shown in found.items() if not dismissed & set(pair) & others),
        key=lambda shown: (-shown.score, shown.contact_id),
    )


async def _seen(ctx: Ctx, found: dict[Pair, DuplicateOut]) -> dict[Pair, DuplicateOut]:
    """Those of contacts that the caller may see."""
    ids = {shown.contact_id for shown in found.values()}
    if not ids:
        return found
    seen = await ctx.db.scalars(
        select(Contact.id).where(
            Contact.organization_id == ctx.organization_id, Contact.id.in_(ids), visible_to(ctx, Contact)
        )
    )
    kept = set(seen)
    return {pair: shown for pair, shown in found.items() if shown.contact_id in kept}


async def _dismissed(ctx: Ctx, contact_id: UUID) -> set[UUID]:
    pairs = await ctx.db.execute(
        select(DuplicatePair.first_id, DuplicatePair.second_id).where(
            DuplicatePair.organization_id == ctx.organization_id,
            (DuplicatePair.first_id == contact_id) | (DuplicatePair.second_id == contact_id),
            DuplicatePair.is_dismissed,
        )
    )
    return {other for pair in pairs for other in pair} - {contact_id}


async def _look(ctx: Ctx, ids: Sequence[UUID]) -> dict[Pair, DuplicateOut]:
    """Everybody who may be one of these, by the pair of ids in their order. Exact beats fuzzy."""
    found: dict[Pair, DuplicateOut] = {}
    for row in await ctx.db.execute(FIND_SIMILAR, {"ids": list(ids)}):
        score, reasons = score_of(row.name, row.company)
        if score >= LIKELY:
            found[_ordered(row.contact_id, row.other_id)] = DuplicateOut(
                contact_id=row.other_id, tier=DuplicateTier.FUZZY, score=score, reasons=reasons, is_deleted=False
            )
    return found | await _exact(ctx, ids)


async def _exact(ctx: Ctx, ids: Sequence[UUID]) -> dict[Pair, DuplicateOut]:
    rows = await ctx.db.execute(
        select(Contact.id, *IDENTIFYING).where(Contact.organization_id == ctx.organization_id, Contact.id.in_(ids))
    )
    owners: defaultdict[Key, list[UUID]] = defaultdict(list)
    for row in rows:
        for key in keys_of(row._mapping):  # pyright: ignore[reportPrivateUsage, reportArgumentType]
            owners[key].append(row.id)
    found: dict[Pair, DuplicateOut] = {}
    for match in await find_matches(ctx, owners):
        for owner in owners[match.key]:
            if owner != match.contact_id:
                pair = _ordered(owner, match.contact_id)
                known = found[pair].reasons if pair in found else []
                found[pair] = DuplicateOut(
                    contact_id=match.contact_id,
                    tier=DuplicateTier.EXACT,
                    score=100,
                    reasons=sorted({*known, SAME_KEY[match.key.kind]}),
                    is_deleted=match.is_deleted,
                )
    return found


def _ordered(one: UUID, other: UUID) -> Pair:
    return (one, other) if one < other else (other, one)


async def scan(ctx: Ctx, *, after: UUID | None) -> UUID | None:
    """Look for pairs among the next contacts. Returns the last one that was looked at, None where none is left."""
    for _ in range(BATCHES_A_JOB):
        statement = select(Contact.id).where(Contact.organization_id == ctx.organization_id, ~Contact.is_deleted)
        if after is not None:
            statement = statement.where(Contact.id > after)
        ids = (await ctx.db.scalars(statement.order_by(Contact.id).limit(BATCH_CONTACTS))).all()
        if not ids:
            return None
        await _keep(ctx, ids, await _look(ctx, ids))
        await ctx.checkpoint(durable=False)
        after = ids[-1]
    return after


async def _keep(ctx: Ctx, ids: Sequence[UUID], found: dict[Pair, DuplicateOut]) -> None:
    """Pairs whose first contact was looked at and that are none any more go; what was dismissed stays so."""
    await ctx.db.execute(
        delete(DuplicatePair)
        .where(
            DuplicatePair.organization_id == ctx.organization_id,
            DuplicatePair.first_id.in_(ids),
            ~DuplicatePair.is_dismissed,
        )
        .execution_options(synchronize_session=False)
    )
    rows = [
        _row(ctx, pair, tier=shown.tier, score=shown.score, reasons=[*shown.reasons])
        for pair, shown in sorted(found.items())
        if not shown.is_deleted
    ]
    await _upsert(ctx, rows, ("tier", "score", "reasons"))


def _row(ctx: Ctx, pair: Pair, **values: Any) -> dict[str, Any]:
    first, second = pair
    return {"organization_id": ctx.organization_id, "id": new_id(), "first_id": first, "second_id": second} | values


async def _upsert(ctx: Ctx, rows: Iterable[dict[str, Any]], changed: Sequence[str]) -> None:
    for some in batched(rows, ROWS_A_STATEMENT):
        statement = insert(DuplicatePair).values(list(some))
        update = {name: statement.excluded[name] for name in changed} | {"updated_at": clock.now()}
        await ctx.db.execute(
            statement.on_conflict_do_update(
                index_elements=["organization_id", "first_id", "second_id"],
                set_=update | {"version": DuplicatePair.version + 1},
            )
        )


async def dismiss(ctx: Ctx, contact_id: UUID, other_id: UUID) -> None:
    """Remember that they are two people. Raises `NotFound` for unknown contacts, `Invalid` for one and the same."""
    pair = await _pair(ctx, contact_id, other_id)
    said = {"is_dismissed": True, "dismissed_at": clock.now(), "dismissed_by": ctx.user_id}
    await _upsert(ctx, [_row(ctx, pair, tier=DuplicateTier.FUZZY, score=0, **said)], list(said))


async def reconsider(ctx: Ctx, contact_id: UUID, other_id: UUID) -> None:
    """Forget that they are two people; the next scan judges them anew."""
    first, second = await _pair(ctx, contact_id, other_id)
    await ctx.db.execute(
        delete(DuplicatePair)
        .where(
            DuplicatePair.organization_id == ctx.organization_id,
            DuplicatePair.first_id == first,
            DuplicatePair.second_id == second,
            DuplicatePair.is_dismissed,
        )
        .execution_options(synchronize_session=False)
    )


async def _pair(ctx: Ctx, contact_id: UUID, other_id: UUID) -> Pair:
    one, other = await find_contact(ctx, contact_id), await find_contact(ctx, other_id)
    if one.id == other.id:
        raise Invalid("A contact can't be told from itself", code="same-contact")
    return _ordered(one.id, other.id)
