"""Saved views that name somebody who is being erased.

A view without one of its filters would show more than was asked for, so one that searches for the person goes as a
whole, shared or not; one that is only called after them gets another name. The audit trail tells of both.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, select, update

from core.sdk import Ctx, People
from modules.networking.keys import name_key
from modules.networking.models import Contact
from modules.networking.saved_view_models import SavedView

BATCH = 500
ERASED = "erased"
"""As the columns of an erased person say."""
DIGITS = 6
"""Of a number, before they tell whose it is."""


class Named(Struct, frozen=True, kw_only=True):
    """By what a text names somebody."""

    words: Collection[frozenset[str]] = ()
    """Each a name: a text that has all words of one names them."""
    addresses: Collection[str] = ()
    """E-mail addresses and profiles."""
    numbers: Collection[str] = ()
    """Their digits."""

    def stands_in(self, text: str) -> bool:
        key = name_key(text)
        said = _words(key)
        digits = _digits(key)
        return (
            any(name <= said for name in self.words)
            or any(address in key for address in self.addresses)
            or any(_begins(part, address) for part in key.split() for address in self.addresses)
            or (len(digits) >= DIGITS and any(digits in number or number in digits for number in self.numbers))
        )


def _begins(part: str, address: str) -> bool:
    """Whether somebody began to type the address, and came to the `@`: what stands before it names a person."""
    return "@" in part[1:] and address.startswith(part)


def _digits(text: str) -> str:
    """Without the zeros that stand before a number at home."""
    return re.sub(r"\D", "", text).lstrip("0")


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", name_key(text)))


def named(contact: Contact) -> Named:
    """A last name tells who it is; a first name does where there is no other."""
    names = [contact.last_name or contact.first_name, f"{contact.first_name} {contact.last_name or ''}"]
    addresses = [contact.email, *contact.additional_emails, contact.linkedin_key]
    numbers = (_digits(number) for number in (contact.phone, contact.phone_e164) if number)
    return Named(
        words={words for words in map(_words, names) if words},
        addresses={name_key(address) for address in addresses if address},
        numbers={number for number in numbers if len(number) >= DIGITS},
    )


async def forget_in_views(ctx: Ctx, subject_id: UUID, contact: Contact | None) -> None:
    """`contact` is the one that is being erased, or None where it is a member."""
    if contact is not None:
        await _forget(ctx, named(contact))
    elif member := (await People(ctx).known([subject_id])).get(subject_id):
        is_address = "@" in member.name
        await _forget(
            ctx, Named(addresses=[name_key(member.name)]) if is_address else Named(words=[_words(member.name)])
        )


async def _forget(ctx: Ctx, person: Named) -> None:
    gone: list[UUID] = []
    renamed: list[UUID] = []
    mine = SavedView.organization_id == ctx.organization_id
    found = await ctx.db.stream(
        select(SavedView.id, SavedView.name, SavedView.filters).where(mine).execution_options(yield_per=BATCH)
    )
    async for view in found:
        if any(map(person.stands_in, _texts(view.filters))):
            gone.append(view.id)
        elif person.stands_in(view.name):
            renamed.append(view.id)
    for statement in (
        delete(SavedView).where(mine, SavedView.id.in_(gone)),
        update(SavedView).where(mine, SavedView.id.in_(renamed)).values(name=ERASED, version=SavedView.version + 1),
    ):
        await ctx.db.execute(statement.execution_options(synchronize_session=False))


def _texts(filters: Mapping[str, Any]) -> list[str]:
    """What somebody wrote: states and ids say nothing of a person, however they are called. Of a custom filter, the
    value."""
    values = [filters[name] for name in ("q", "industry", "tag") if filters.get(name)]
    return [*values, (filters.get("custom") or "").partition(":")[2]]
