"""The history of stages, where it is more than its triggers can know.

Triggers on contacts write a stay for whatever changes a contact's stage. They learn why from the transaction's setting
`app.stage`, which `announce` sets; a merge moves stays from one contact to the other, and its undo moves them back.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import case, delete, func, null, select, update

from core.sdk import Conflict, Ctx, Invalid, clock
from modules.networking.pipeline import NOT_ALLOWED, check_move
from modules.networking.settings import NetworkingSettings
from modules.networking.stage_models import ContactStage
from modules.networking.values import StageSource


class Carried(Struct, frozen=True, kw_only=True):
    """What a merge did to the two histories, as it is kept with the merge."""

    moved: list[UUID] = []
    """Stays of the contact that went."""
    open: UUID | None = None
    """The one of them that the merge ended."""
    ended: UUID | None = None
    """The survivor's stay that the merge ended, and the one that it began, where it changed the survivor's stage."""
    entered: UUID | None = None


def refuse_move(
    ctx: Ctx, before: Mapping[str, Any] | None, after: Mapping[str, Any], reason: str | None = None
) -> None:
    """Raises `Conflict` (`stage-not-allowed`) for a move that the organization doesn't make, and `Invalid` with all
    that is missing for one that it does."""
    errors = check_move(before, after, reason, ctx.settings(NetworkingSettings).pipeline)
    if not errors:
        return
    if errors[0].code == NOT_ALLOWED:
        raise Conflict(errors[0].message, code=NOT_ALLOWED, errors=errors)
    raise Invalid(errors=errors)


async def announce(
    ctx: Ctx, source: StageSource | Literal["undo"], reasons: Mapping[UUID, str | None] | None = None
) -> None:
    """Say what moves contacts from now on in this transaction, and why each of them goes.

    `undo` has the triggers write nothing: who undoes puts the history back itself.
    """
    said = {
        "source": source,
        "at": clock.now().isoformat(),
        "reasons": {str(contact_id): reason for contact_id, reason in (reasons or {}).items() if reason},
    }
    await ctx.db.execute(select(func.set_config("app.stage", msgspec.json.encode(said).decode(), True)))


async def open_stays(ctx: Ctx, *contact_ids: UUID) -> dict[UUID, UUID]:
    """Where each of them is now: the stay's id by the contact's."""
    found = await ctx.db.execute(
        select(ContactStage.contact_id, ContactStage.id).where(
            ContactStage.organization_id == ctx.organization_id,
            ContactStage.contact_id.in_(contact_ids),
            ContactStage.left_at.is_(None),
        )
    )
    return {row.contact_id: row.id for row in found}


async def carry(ctx: Ctx, before: Mapping[UUID, UUID], other: UUID, *, to: UUID, at: datetime) -> Carried:
    """Move the other's stays to the survivor; the one that it is in ends. `before` is where both were."""
    moved = await ctx.db.scalars(
        update(ContactStage)
        .where(ContactStage.organization_id == ctx.organization_id, ContactStage.contact_id == other)
        .values(
            contact_id=to,
            left_at=func.coalesce(ContactStage.left_at, func.greatest(at, ContactStage.entered_at)),
            version=ContactStage.version + 1,
            updated_at=ContactStage.updated_at,
        )
        .returning(ContactStage.id)
        .execution_options(synchronize_session=False)
    )
    ids = sorted(moved)
    now = await open_stays(ctx, to)
    carried = Carried(moved=ids, open=before.get(other))
    if now.get(to) == before.get(to):
        return carried
    return msgspec.structs.replace(carried, ended=before.get(to), entered=now.get(to))


async def carry_back(ctx: Ctx, carried: Carried, *, to: UUID, of: UUID) -> None:
    """Give the other its stays again, and let it go on where it was."""
    if not carried.moved:
        return
    await ctx.db.execute(
        update(ContactStage)
        .where(
            ContactStage.organization_id == ctx.organization_id,
            ContactStage.id.in_(carried.moved),
            ContactStage.contact_id == of,
        )
        .values(
            contact_id=to,
            left_at=case((ContactStage.id == carried.open, null()), else_=ContactStage.left_at),
            version=ContactStage.version + 1,
            updated_at=ContactStage.updated_at,
        )
        .execution_options(synchronize_session=False)
    )


async def reopen(ctx: Ctx, carried: Carried) -> None:
    """The stay that the merge began was never there; the one before it goes on."""
    mine = ContactStage.organization_id == ctx.organization_id
    await ctx.db.execute(delete(ContactStage).where(mine, ContactStage.id == carried.entered))
    await ctx.db.execute(
        update(ContactStage)
        .where(mine, ContactStage.id == carried.ended)
        .values(left_at=None, to_stage=None, version=ContactStage.version + 1, updated_at=ContactStage.created_at)
        .execution_options(synchronize_session=False)
    )
