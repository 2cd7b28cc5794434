"""What a password costs in tests: hardly anything, but for those that are about the cost.

There is no setting for it, with which a deployment could be weakened: a process that a test starts hashes as it would
in production.
"""

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from argon2 import PasswordHasher

from core.identity import passwords

FULL = passwords.HASHER
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Argon2's own floor: 8 KiB and one pass."""


@contextmanager
def hashing_with(hasher: PasswordHasher) -> Generator[None]:
    """Within the block, this process hashes new passwords so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "HASHER", hasher)
        yield
