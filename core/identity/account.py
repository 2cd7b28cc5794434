"""What a signed-in person does with their own credentials. Each step asks again for what proves that it is them: a
session that was left open is not enough to change how one signs in. All raise `Forbidden` where the proof is wrong.
"""

from sqlalchemy import update

from core import clock
from core.db.database import Database
from core.errors import Conflict, Forbidden, Unauthenticated
from core.identity.mfa import Code, Enrolment, Outcome, SecondFactors
from core.identity.models import Session, User
from core.identity.origins import Origin
from core.identity.passwords import MIN_LENGTH, check_new_password, hash_password, verify_password
from core.identity.sessions import end_sessions
from core.identity.throttle import Throttle
from core.principal import Principal


class Account:
    def __init__(self, database: Database, throttle: Throttle, factors: SecondFactors) -> None:
        self._database = database
        self._throttle = throttle
        self._factors = factors

    async def change_password(self, principal: Principal, origin: Origin, *, current: str, new: str) -> None:
        """Ends the person's other sessions. Raises `Invalid` for a weak new one."""
        user = await self.prove_password(principal, origin, current)
        has_second_factor = (await self._factors.state(user.id)).confirmed
        check_new_password(new, has_second_factor=has_second_factor, field="new_password")
        new_hash = await hash_password(new)
        async with self._database.system() as system:
            changed = await system.scalar(
                update(User)
                .where(User.id == user.id, User.password_hash == user.password_hash)
                .values(password_hash=new_hash, updated_at=clock.now(), version=User.version + 1)
                .returning(User.id)
                .execution_options(synchronize_session=False)
            )
            if changed is None:
                raise Conflict("It was changed in the meantime", code="password-changed")
            others = Session.id != principal.session_id
            await end_sessions(system, user.id, others, reason="password-changed")
        await self._throttle.succeeded(account=user.email)

    async def enrol(self, principal: Principal, origin: Origin, *, password: str) -> Enrolment:
        """Raises `Conflict` where a second factor is on already."""
        user = await self.prove_password(principal, origin, password)
        return await self._factors.enrol(user.id)

    async def confirm(self, principal: Principal, origin: Origin, *, code: str) -> list[str]:
        """Turn the enrolled factor on; returns the recovery codes."""
        user = await self._person(principal)
        await self._throttle.check(account=user.email, origin=origin)
        codes = await self._factors.confirm(user.id, code)
        if codes is None:
            raise await self._refusal(user, origin, _wrong_code())
        return codes

    async def turn_off(self, principal: Principal, origin: Origin, *, password: str, code: Code) -> None:
        """Raises `Conflict` for a password that is too short to be the only factor."""
        user = await self._prove_both(principal, origin, password, code)
        if len(password) < MIN_LENGTH:
            raise Conflict(
                f"Alone, a password needs {MIN_LENGTH} characters; change it first", code="password-too-short"
            )
        await self._factors.remove(user.id)

    async def new_recovery_codes(self, principal: Principal, origin: Origin, *, password: str, code: Code) -> list[str]:
        user = await self._prove_both(principal, origin, password, code)
        return await self._factors.new_recovery_codes(user.id)

    async def _prove_both(self, principal: Principal, origin: Origin, password: str, code: Code) -> User:
        user = await self.prove_password(principal, origin, password)
        if not (await self._factors.state(user.id)).confirmed:
            raise Conflict("No second factor is on", code="mfa-not-on")
        outcome = await self._factors.use(user.id, code)
        if outcome is Outcome.USED_BEFORE:
            raise Forbidden("The code was used before; wait for the next", code="wrong-code")
        if outcome is Outcome.WRONG:
            raise await self._refusal(user, origin, _wrong_code())
        return user

    async def prove_password(self, principal: Principal, origin: Origin, password: str) -> User:
        """Who it is, as they proved once more. A wrong one counts with the throttle of sign-ins."""
        user = await self._person(principal)
        await self._throttle.check(account=user.email, origin=origin)
        if not await verify_password(password, user.password_hash):
            raise await self._refusal(user, origin, Forbidden("The password is not right", code="wrong-password"))
        await self._throttle.check(account=user.email, origin=origin)
        return user

    async def _person(self, principal: Principal) -> User:
        async with self._database.system() as system:
            user = await system.get(User, principal.user_id)
        if user is None:
            raise Unauthenticated
        return user

    async def _refusal(self, user: User, origin: Origin, refusal: Forbidden) -> Forbidden:
        """Counts the failure. Raises `TooManyRequests` instead where it should not have been tried."""
        await self._throttle.failed(account=user.email, origin=origin)
        return refusal


def _wrong_code() -> Forbidden:
    return Forbidden("The code is not valid", code="wrong-code")
