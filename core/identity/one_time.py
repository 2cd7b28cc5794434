"""Tokens that were mailed, as they are stored: made for a purpose, used once."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core import clock
from core.db.sessions import act_as
from core.errors import NotFound
from core.identity.links import LIFETIMES, Links, Purpose, hash_token
from core.identity.organization_models import OneTimeToken
from core.ids import new_id

PATIENCE = timedelta(seconds=60)
"""At least so long between two letters of one kind to one person: asking again and again fills nobody's mailbox."""


async def issue_token(
    system: AsyncSession, links: Links, purpose: Purpose, user_id: UUID, *, organization_id: UUID | None = None
) -> UUID:
    """Returns the token's id, from which the letter's job makes the token."""
    now, token_id = clock.now(), new_id()
    system.add(
        OneTimeToken(
            id=token_id,
            token_hash=links.hash(purpose, token_id),
            purpose=purpose.value,
            user_id=user_id,
            organization_id=organization_id,
            created_at=now,
            expires_at=now + LIFETIMES[purpose],
        )
    )
    await system.flush()
    return token_id


def _counting(purpose: Purpose, token: str) -> tuple[ColumnElement[bool], ...]:
    return (
        OneTimeToken.token_hash == hash_token(token),
        OneTimeToken.purpose == purpose.value,
        OneTimeToken.used_at.is_(None),
        OneTimeToken.expires_at > clock.now(),
    )


def _not_valid() -> NotFound:
    return NotFound("This link is not valid any more", code="token-not-valid")


async def holder_of(system: AsyncSession, purpose: Purpose, token: str) -> UUID:
    """Whose it is, without using it. Raises `NotFound` as `use_token` does."""
    user_id = await system.scalar(select(OneTimeToken.user_id).where(*_counting(purpose, token)))
    if user_id is None:
        raise _not_valid()
    return user_id


async def use_token(system: AsyncSession, purpose: Purpose, token: str) -> OneTimeToken:
    """Use it up: of any number at once, one succeeds. The others that the person was sent for this are void as well.
    Whoever has it is that person: what follows in the transaction is theirs.

    Raises `NotFound` for one that is unknown, used, expired or for another purpose, and says no more than that.
    """
    used = await system.scalar(
        update(OneTimeToken).where(*_counting(purpose, token)).values(used_at=clock.now()).returning(OneTimeToken)
    )
    if used is None:
        raise _not_valid()
    await act_as(system, used.user_id)
    await system.execute(
        delete(OneTimeToken).where(
            OneTimeToken.user_id == used.user_id,
            OneTimeToken.purpose == purpose.value,
            OneTimeToken.organization_id.is_not_distinct_from(used.organization_id),
            OneTimeToken.used_at.is_(None),
        )
    )
    return used


async def last_issued(system: AsyncSession, purpose: Purpose, user_id: UUID) -> datetime | None:
    return await system.scalar(
        select(func.max(OneTimeToken.created_at)).where(
            OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose.value
        )
    )
