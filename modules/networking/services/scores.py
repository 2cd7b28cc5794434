"""Lead scores: the rules and their versions, one contact's score, and recomputing all of them.

Whoever scores a contact locks its row first and looks at its interactions then, so that of two who score it at once the
later one has seen all that the earlier one saw. A recomputation goes through the contacts by id, a batch to a
transaction, and counts every age from the one moment at which it was started: one that is killed goes on from its last
batch and ends as if nothing had happened.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Table, Uuid, bindparam, column, func, or_, select, true, update

from core.sdk import Ctx, NotFound, check_if_match, clock, new_id
from modules.networking.bulk import bulk_insert, write_rows
from modules.networking.locks import lock
from modules.networking.models import Contact, ContactInteraction
from modules.networking.score_models import ContactScore, ScoreRules, ScoreRun
from modules.networking.score_schemas import ScoreLine, ScoreOut, ScorePreview, ScoreRulesIn, ScoreRulesOut
from modules.networking.scoring import DEFAULT_RULES, Happened, score_of
from modules.networking.services.contacts import find_contact
from modules.networking.values import InteractionStatus, RunState
from modules.networking.visibility import visible_to

BATCH_CONTACTS = 1000
SAMPLE = 50
HAPPENED_EACH = 500
"""The latest interactions of a contact that are looked at; no rules count more of one type than 50."""
DEFAULT_NUMBER = 0
SCORED = tuple(
    "contact_type status priority business_type network_type industry company job_title email phone linkedin_url "
    "marketing_consent".split()
)
COLUMNS = (Contact.id, Contact.lead_score, *(getattr(Contact, name) for name in SCORED))

_WANTED = (
    func.unnest(bindparam("ids", type_=ARRAY(Uuid))).table_valued(column("id", Uuid), name="wanted").render_derived()
)
_LATEST = (
    select(ContactInteraction.id, ContactInteraction.interaction_type, ContactInteraction.interaction_date)
    .where(
        ContactInteraction.organization_id == bindparam("tenant", type_=Uuid()),
        ContactInteraction.contact_id == _WANTED.c.id,
        ContactInteraction.status == InteractionStatus.COMPLETED.value,
        ~ContactInteraction.is_deleted,
        ContactInteraction.interaction_date <= bindparam("as_of"),
    )
    .order_by(ContactInteraction.interaction_date.desc(), ContactInteraction.id.desc())
    .limit(HAPPENED_EACH)
    .lateral("latest")
)
HAPPENED = select(_WANTED.c.id.label("contact_id"), _LATEST).select_from(_WANTED.join(_LATEST, true()))
_TABLE: Table = ContactScore.__table__  # type: ignore[assignment] # a mapped class has a Table
_INSERT = bulk_insert(
    ContactScore, ["contact_id", "score", "rules_number", "as_of", "lines", "version", "created_at", "updated_at"]
)
STORE_SCORES = _INSERT.on_conflict_do_update(
    index_elements=["organization_id", "contact_id"],
    set_={
        **{name: _INSERT.excluded[name] for name in ("score", "rules_number", "as_of", "lines", "updated_at")},
        "version": _TABLE.c.version + 1,
    },
    where=or_(_TABLE.c.rules_number < _INSERT.excluded.rules_number, _TABLE.c.as_of <= _INSERT.excluded.as_of),
)
STORE_LEAD_SCORES = (
    update(Contact)
    .where(
        Contact.organization_id == bindparam("tenant", type_=Uuid()),
        Contact.id == ContactScore.contact_id,
        ContactScore.organization_id == Contact.organization_id,
        ContactScore.contact_id == func.any(bindparam("ids", type_=ARRAY(Uuid))),
        Contact.lead_score != ContactScore.score,
    )
    .values(lead_score=ContactScore.score, updated_at=Contact.updated_at)
    .execution_options(synchronize_session=False)
)


async def current_rules(ctx: Ctx) -> ScoreRulesOut:
    row = await ctx.db.scalar(
        select(ScoreRules)
        .where(ScoreRules.organization_id == ctx.organization_id)
        .order_by(ScoreRules.number.desc())
        .limit(1)
    )
    if row is None:
        return ScoreRulesOut(id=None, number=DEFAULT_NUMBER, rules=DEFAULT_RULES, created_by=None, created_at=None)
    return rules_out(row)


def rules_out(row: ScoreRules) -> ScoreRulesOut:
    return ScoreRulesOut(
        id=row.id,
        number=row.number,
        rules=rules_of(row.rules),
        created_by=row.created_by,
        created_at=row.created_at,
    )


def rules_of(stored: Mapping[str, Any]) -> ScoreRulesIn:
    """Stored rules as today's type. What it doesn't know, or no longer takes, is left out: rules that an older release
    stored can't stop a job."""
    kept: dict[str, Any] = {}
    for field in msgspec.structs.fields(ScoreRulesIn):
        if field.name in stored:
            with suppress(msgspec.ValidationError):
                kept[field.name] = msgspec.convert(stored[field.name], field.type)
    return ScoreRulesIn(**kept)


async def change_rules(ctx: Ctx, rules: ScoreRulesIn, *, if_match: str | None) -> ScoreRulesOut:
    """Make the next version, and recompute by it. Raises `PreconditionFailed` where somebody else made one meanwhile.

    The same rules as before are no new version.
    """
    await lock(ctx, "scores", "rules")
    before = await current_rules(ctx)
    check_if_match(if_match, before.number)
    if before.rules == rules and before.id is not None:
        return before
    row = ScoreRules(id=new_id(), number=before.number + 1, rules=msgspec.to_builtins(rules), created_by=ctx.user_id)
    ctx.db.add(row)
    await ctx.db.flush()
    return rules_out(row)


async def find_rules(ctx: Ctx, rules_id: UUID) -> ScoreRules:
    row = await ctx.db.scalar(
        select(ScoreRules).where(ScoreRules.organization_id == ctx.organization_id, ScoreRules.id == rules_id)
    )
    if row is None:
        raise NotFound("There are no such rules")
    return row


async def preview(ctx: Ctx, rules: ScoreRulesIn) -> list[ScorePreview]:
    """What the rules would make of the contacts that changed last; nothing is stored."""
    rows = await ctx.db.execute(
        select(*COLUMNS)
        .where(Contact.organization_id == ctx.organization_id, ~Contact.is_deleted, visible_to(ctx, Contact))
        .order_by(Contact.updated_at.desc(), Contact.id.desc())
        .limit(SAMPLE)
    )
    contacts = rows.all()
    scores = await _work_out(ctx, contacts, rules, as_of=clock.now())
    return [
        ScorePreview(contact_id=row.id, before=row.lead_score, after=score, lines=lines)
        for row, (score, lines) in zip(contacts, scores, strict=True)
    ]


async def score_contact(ctx: Ctx, contact_id: UUID) -> None:
    """Score one contact by the rules of now. One that is gone meanwhile is left alone."""
    rules = await current_rules(ctx)
    contacts = await _locked(ctx, Contact.id == contact_id)
    await _store(ctx, contacts, rules.rules, number=rules.number, as_of=clock.now())


async def score_shown(ctx: Ctx, contact_id: UUID) -> ScoreOut:
    """As it is stored; as it would be now for a contact that has not been scored yet. Raises `NotFound`."""
    contact = await find_contact(ctx, contact_id)
    row = await ctx.db.scalar(
        select(ContactScore).where(
            ContactScore.organization_id == ctx.organization_id, ContactScore.contact_id == contact.id
        )
    )
    if row is not None:
        return msgspec.convert(row, ScoreOut, from_attributes=True)
    rules, now = await current_rules(ctx), clock.now()
    found = await ctx.db.execute(
        select(*COLUMNS).where(Contact.organization_id == ctx.organization_id, Contact.id == contact.id)
    )
    ((score, lines),) = await _work_out(ctx, found.all(), rules.rules, as_of=now)
    return ScoreOut(contact_id=contact.id, score=score, rules_number=rules.number, as_of=now, lines=lines)


async def begin_run(ctx: Ctx) -> ScoreRun:
    """The caller enqueues the job."""
    run = ScoreRun(
        id=new_id(), rules_number=(await current_rules(ctx)).number, as_of=clock.now(), created_by=ctx.user_id
    )
    ctx.db.add(run)
    await ctx.db.flush()
    return run


async def find_run(ctx: Ctx, run_id: UUID) -> ScoreRun:
    run = await ctx.db.scalar(
        select(ScoreRun).where(ScoreRun.organization_id == ctx.organization_id, ScoreRun.id == run_id)
    )
    if run is None:
        raise NotFound("There is no such recomputation")
    return run


async def recompute(ctx: Ctx, run_id: UUID) -> None:
    """The job of a run: every living contact, by the rules that counted when it was started."""
    run = await find_run(ctx, run_id)
    if run.state == RunState.DONE:
        return
    rules = await _rules_of(ctx, run)
    living = (Contact.organization_id == ctx.organization_id, ~Contact.is_deleted)
    run.state = RunState.RUNNING
    run.contacts_total = await ctx.db.scalar(select(func.count()).select_from(Contact).where(*living))
    await ctx.checkpoint()
    while contacts := await _locked(ctx, Contact.id > (run.after or UUID(int=0)), limit=BATCH_CONTACTS):
        run.contacts_changed += await _store(ctx, contacts, rules, number=run.rules_number, as_of=run.as_of)
        run.contacts_done += len(contacts)
        run.after = contacts[-1].id
        await ctx.checkpoint(durable=False)
    run.state, run.finished_at, run.contacts_total = RunState.DONE, clock.now(), run.contacts_done


async def _rules_of(ctx: Ctx, run: ScoreRun) -> ScoreRulesIn:
    stored = await ctx.db.scalar(
        select(ScoreRules.rules).where(
            ScoreRules.organization_id == ctx.organization_id, ScoreRules.number == run.rules_number
        )
    )
    return DEFAULT_RULES if stored is None else rules_of(stored)


async def _locked(ctx: Ctx, condition: Any, *, limit: int = 1) -> Sequence[Any]:
    """Living contacts in the order of their ids, which nobody else changes until the transaction ends."""
    found = await ctx.db.execute(
        select(*COLUMNS)
        .where(Contact.organization_id == ctx.organization_id, condition, ~Contact.is_deleted)
        .order_by(Contact.id)
        .limit(limit)
        .with_for_update(key_share=True)
    )
    return found.all()


async def _work_out(
    ctx: Ctx, contacts: Sequence[Any], rules: ScoreRulesIn, *, as_of: datetime
) -> list[tuple[int, list[ScoreLine]]]:
    happened: defaultdict[UUID, list[Happened]] = defaultdict(list)
    ids = [row.id for row in contacts]
    found = await ctx.db.execute(HAPPENED, {"ids": ids, "tenant": ctx.organization_id, "as_of": as_of})
    for row in found:
        happened[row.contact_id].append(Happened(row.id, row.interaction_type, row.interaction_date))
    return [score_of(rules, row._mapping, happened[row.id], as_of=as_of) for row in contacts]


async def _store(ctx: Ctx, contacts: Sequence[Any], rules: ScoreRulesIn, *, number: int, as_of: datetime) -> int:
    """Store the scores, but for contacts that were scored by these rules at a later moment. Returns how many changed.

    Neither a contact's version nor its `updated_at` moves: nobody has changed it.
    """
    if not contacts:
        return 0
    now = clock.now()
    scores = await _work_out(ctx, contacts, rules, as_of=as_of)
    rows = [
        {"id": new_id(), "contact_id": row.id, "score": score, "lines": lines}
        for row, (score, lines) in zip(contacts, scores, strict=True)
    ]
    common = {
        "organization_id": ctx.organization_id, "rules_number": number, "as_of": as_of,
        "version": 1, "created_at": now, "updated_at": now,
    }  # fmt: skip
    await write_rows(ctx, STORE_SCORES, rows, common=common)
    ids = [row.id for row in contacts]
    changed: Any = await ctx.db.execute(STORE_LEAD_SCORES, {"tenant": ctx.organization_id, "ids": ids})
    return changed.rowcount
