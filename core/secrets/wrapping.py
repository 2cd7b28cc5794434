"""Wrapping keys: they encrypt data keys, and are never in the database. `PLUGS_ENCRYPTION_KEYS` brings them.

The first of them wraps; the others only unwrap, until `plugs keys rotate` has wrapped everything anew.
"""

import secrets
from collections.abc import Mapping
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from core.secrets.cipher import NONCE_BYTES, UnsealError


class Wrapped(Struct, frozen=True):
    """A data key as it is stored."""

    wrapping_key: str
    wrapped: bytes


class WrappingKeys:
    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` by name, the primary one first."""
        self._keys = dict(keys)
        self.primary = next(iter(self._keys))

    def wrap(self, key: bytes, *, organization_id: UUID, number: int) -> Wrapped:
        nonce = secrets.token_bytes(NONCE_BYTES)
        associated = _associated(organization_id, number, self.primary)
        return Wrapped(self.primary, nonce + AESGCM(self._keys[self.primary]).encrypt(nonce, key, associated))

    def unwrap(self, stored: Wrapped, *, organization_id: UUID, number: int) -> bytes:
        """Raises `UnsealError` where the wrapping key is not here, or the stored key was changed or moved."""
        if (key := self._keys.get(stored.wrapping_key)) is None:
            raise UnsealError(f"PLUGS_ENCRYPTION_KEYS holds no key named {stored.wrapping_key!r}")
        nonce, ciphertext = stored.wrapped[:NONCE_BYTES], stored.wrapped[NONCE_BYTES:]
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, _associated(organization_id, number, stored.wrapping_key))
        except InvalidTag as error:
            raise UnsealError(f"data key {number} of {organization_id} does not unwrap") from error


def _associated(organization_id: UUID, number: int, name: str) -> bytes:
    return f"data-key|{organization_id}|{number}|{name}".encode()
