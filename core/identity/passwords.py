"""Passwords: argon2id in a bounded pool of threads, so that sign-ins never hold up the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from core.errors import FieldError, Invalid
from core.identity.breached import is_breached

MIN_LENGTH = 15
"""NIST 800-63B asks for 15 where the password is the only factor, and for no rules about its composition."""
MIN_LENGTH_WITH_MFA = 8
MAX_LENGTH = 256
THREADS = 2

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's floor: 19 MiB and two passes."""

_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_pool, HASHER.hash, password)


async def verify_password(password: str, password_hash: str | None) -> bool:
    """Takes the same time for an account that doesn't exist: its password is checked against a hash of nothing."""
    compared = password_hash or _decoy(HASHER)
    matches = await asyncio.get_running_loop().run_in_executor(_pool, _matches, password, compared)
    return matches and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    return HASHER.check_needs_rehash(password_hash)


def check_new_password(password: str, *, has_second_factor: bool = False, field: str = "password") -> None:
    """Raises `Invalid`, about `field`, for a password that is too short, or that attackers try first."""
    least = MIN_LENGTH_WITH_MFA if has_second_factor else MIN_LENGTH
    if len(password) < least:
        raise _refused(field, "length", f"Expected at least {least} characters")
    if is_breached(password):
        raise _refused(field, "breached", "It is among the passwords that are tried first; choose another")


def _refused(field: str, code: str, message: str) -> Invalid:
    return Invalid(errors=[FieldError(field=field, code=code, message=message)])


def _matches(password: str, password_hash: str) -> bool:
    try:
        return HASHER.verify(password_hash, password)
    except (Argon2Error, InvalidHashError):
        return False


@cache
def _decoy(hasher: PasswordHasher) -> str:
    return hasher.hash("no account has this password")
