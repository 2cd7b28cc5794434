"""The second factor: an authenticator app, and recovery codes for when it is lost.

A code counts once. Its time step is compared and written in one statement, and a recovery code is deleted by its use,
so of any number of uses at once one succeeds.
"""

import hashlib
import secrets
from enum import Enum, auto
from uuid import UUID

from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from core import clock
from core.db.database import Database
from core.errors import Conflict
from core.identity import totp
from core.identity.credential_models import RecoveryCode, TotpFactor
from core.identity.models import User
from core.secrets.sealed import place_of
from core.secrets.vault import Vault

RECOVERY_CODES = 10
GROUPS, GROUP_LENGTH = 5, 5
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without what is easily mistaken: 32 signs, so a code has 125 bits, and a plain hash of it is enough."""


class Outcome(Enum):
    """Of using a code."""

    ACCEPTED = auto()
    USED_BEFORE = auto()
    """Right, and too late: whoever sends it guesses nothing, so it is not counted as a failure."""
    WRONG = auto()


class Code(Struct, frozen=True, kw_only=True):
    """A code of the second factor, of one kind or the other."""

    totp: str | None = None
    recovery: str | None = None


class Enrolment(Struct, frozen=True):
    """Shown once."""

    secret: str
    otpauth_uri: str


class MfaState(Struct, frozen=True):
    confirmed: bool
    recovery_codes_left: int


class SecondFactors:
    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def state(self, user_id: UUID) -> MfaState:
        async with self._database.system() as system:
            confirmed = await system.scalar(select(TotpFactor.confirmed_at).where(TotpFactor.user_id == user_id))
            left = await system.scalar(select(func.count()).where(RecoveryCode.user_id == user_id))
        return MfaState(confirmed is not None, left or 0)

    async def enrol(self, user_id: UUID) -> Enrolment:
        """A new seed, which counts once it is confirmed. Raises `Conflict` where a factor is confirmed already."""
        seed = totp.new_seed()
        sealed = await self._vault.seal(place_of(TotpFactor.seed, row_id=user_id), seed)
        values = {"seed": sealed, "created_at": clock.now(), "last_step": 0}
        async with self._database.system() as system:
            email = await system.scalar(select(User.email).where(User.id == user_id))
            enrolled = await system.scalar(
                upsert(TotpFactor)
                .values(user_id=user_id, **values)
                .on_conflict_do_update(index_elements=["user_id"], set_=values, where=TotpFactor.confirmed_at.is_(None))
                .returning(TotpFactor.user_id)
            )
        if enrolled is None:
            raise Conflict("A second factor is on already; turn it off first", code="mfa-already-on")
        return Enrolment(totp.secret_of(seed), totp.otpauth_uri(seed, account=str(email)))

    async def confirm(self, user_id: UUID, code: str) -> list[str] | None:
        """Turn the enrolled factor on; returns its recovery codes, or None for a code that is wrong.

        Raises `Conflict` where nothing waits to be confirmed.
        """
        step = await self._step_of(user_id, code, confirmed=False)
        if step is None:
            return None
        codes = _new_codes()
        async with self._database.system() as system:
            confirmed = await system.scalar(
                update(TotpFactor)
                .where(TotpFactor.user_id == user_id, TotpFactor.confirmed_at.is_(None), TotpFactor.last_step < step)
                .values(confirmed_at=clock.now(), last_step=step)
                .returning(TotpFactor.user_id)
                .execution_options(synchronize_session=False)
            )
            if confirmed is None:
                return None
            await system.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
            await system.execute(insert(RecoveryCode), _rows(user_id, codes))
        return codes

    async def use(self, user_id: UUID, code: Code) -> Outcome:
        """Use up a code."""
        if code.totp is not None:
            return await self._use_totp(user_id, code.totp)
        if code.recovery is not None and await self._use_recovery(user_id, code.recovery):
            return Outcome.ACCEPTED
        return Outcome.WRONG

    async def _use_totp(self, user_id: UUID, code: str) -> Outcome:
        step = await self._step_of(user_id, code, confirmed=True)
        if step is None:
            return Outcome.WRONG
        async with self._database.system() as system:
            used = await system.scalar(
                update(TotpFactor)
                .where(TotpFactor.user_id == user_id, TotpFactor.confirmed_at.is_not(None), TotpFactor.last_step < step)
                .values(last_step=step)
                .returning(TotpFactor.user_id)
                .execution_options(synchronize_session=False)
            )
        return Outcome.USED_BEFORE if used is None else Outcome.ACCEPTED

    async def _use_recovery(self, user_id: UUID, code: str) -> bool:
        async with self._database.system() as system:
            used = await system.scalar(
                delete(RecoveryCode)
                .where(RecoveryCode.user_id == user_id, RecoveryCode.code_hash == _hash(user_id, code))
                .returning(RecoveryCode.user_id)
                .execution_options(synchronize_session=False)
            )
        return used is not None

    async def new_recovery_codes(self, user_id: UUID) -> list[str]:
        """Replaces those that are left. Raises `Conflict` where no second factor is on."""
        codes = _new_codes()
        async with self._database.system() as system:
            confirmed = await system.scalar(
                select(TotpFactor.confirmed_at).where(TotpFactor.user_id == user_id).with_for_update()
            )
            if confirmed is None:
                raise Conflict("No second factor is on", code="mfa-not-on")
            await system.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
            await system.execute(insert(RecoveryCode), _rows(user_id, codes))
        return codes

    async def remove(self, user_id: UUID) -> None:
        async with self._database.system() as system:
            await system.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
            await system.execute(delete(TotpFactor).where(TotpFactor.user_id == user_id))

    async def _step_of(self, user_id: UUID, code: str, *, confirmed: bool) -> int | None:
        """The time step of a code that is right by the stored seed; whether it was used before is not looked at.

        Raises `Conflict` where a factor to confirm is asked for and there is none.
        """
        async with self._database.system() as system:
            factor = await system.get(TotpFactor, user_id)
        if factor is None or (factor.confirmed_at is not None) != confirmed:
            if confirmed:
                return None
            raise Conflict("Nothing waits to be confirmed", code="mfa-not-enrolled")
        seed = await self._vault.unseal(place_of(TotpFactor.seed, row_id=user_id), factor.seed)
        return totp.matching_step(seed, code, now=clock.now())


def _new_codes() -> list[str]:
    return ["-".join(_group() for _ in range(GROUPS)) for _ in range(RECOVERY_CODES)]


def _group() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH))


def _rows(user_id: UUID, codes: list[str]) -> list[dict[str, object]]:
    return [{"user_id": user_id, "code_hash": _hash(user_id, code)} for code in codes]


def _hash(user_id: UUID, code: str) -> bytes:
    """Spaces, hyphens and capitals don't count."""
    plain = "".join(sign for sign in code.lower() if sign.isalnum())
    return hashlib.sha256(user_id.bytes + plain.encode()).digest()
