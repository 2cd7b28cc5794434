"""Who a credential belongs to, remembered by one process for as long as nothing about it has changed.

The database says what has changed, whoever changed it: triggers on sessions, people, memberships, grants, roles, teams,
keys, operators and organizations announce it (migration 0009), and every process forgets what an announcement is about.
A route that changes such a thing lets its own process catch up before it answers, so the next request already meets it.
"""

import asyncio
import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from core import clock
from core.http.authentication import Authenticator
from core.principal import Principal

TOPIC = "principals"
KEEP = timedelta(seconds=30)
"""Then it is looked up again in any case, which also notes that the session is in use."""
KEPT = 10_000
"""Credentials that a process remembers; those it has known longest give way."""

_PURPOSES = {False: b"ordinary", True: b"even-suspended"}
"""What is asked for goes into the key, so that no answer to the one stands for the other."""


class _Known(Struct, frozen=True):
    principal: Principal
    until: datetime


class Principals:
    """An `Authenticator` in front of another."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._known: dict[bytes, _Known] = {}
        self._changes = 0
        self._looking: dict[bytes, asyncio.Task[Principal]] = {}
        """Look-ups that are under way, and began after the last change."""

    async def authenticate(self, bearer: str, *, even_suspended: bool = False) -> Principal:
        """Raises what the other raises; a credential that doesn't count is not remembered, nor is an operator's."""
        key = hashlib.blake2b(bearer.encode(), digest_size=20, person=_PURPOSES[even_suspended]).digest()
        known = self._known.get(key)
        if known is not None and clock.now() < known.until:
            return known.principal
        looking = self._looking.get(key)
        if looking is None:  # many requests of one client at once are one look
            look = self._look_up(key, bearer, even_suspended=even_suspended, changes=self._changes)
            looking = self._looking[key] = asyncio.create_task(look)
        return await asyncio.shield(looking)

    async def _look_up(self, key: bytes, bearer: str, *, even_suspended: bool, changes: int) -> Principal:
        """`changes` is how many were heard of when the look was begun."""
        now = clock.now()
        try:
            principal = await self._authenticator.authenticate(bearer, even_suspended=even_suspended)
        finally:
            if self._looking.get(key) is asyncio.current_task():
                del self._looking[key]
        is_ordinary = principal.impersonator_id is None and not principal.platform
        if is_ordinary and changes == self._changes:  # else what was read may be older than what was announced since
            if len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)), None)
            self._known[key] = _Known(principal, min(now + KEEP, principal.valid_until or now + KEEP))
        return principal

    def hear(self, key: str | None) -> None:
        """`user:…` or `organization:…` names whom it is about; None means that it may be anybody."""
        self._changes += 1
        self._looking.clear()
        kind, _, value = (key or "").partition(":")
        match kind:
            case "user":
                user_id = UUID(value)
                self._known = {k: known for k, known in self._known.items() if known.principal.user_id != user_id}
            case "organization":
                tenant = UUID(value)
                self._known = {
                    k: known for k, known in self._known.items() if known.principal.organization_id != tenant
                }
            case _:
                self._known.clear()
