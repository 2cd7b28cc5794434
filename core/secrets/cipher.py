"""The cipher: AES-256-GCM with associated data, and nothing that knows of a database.

A sealed value is `format (1 byte) · number of the data key (4) · nonce (12) · ciphertext and tag`. The associated data
names where the value belongs, so that one moved to another row, column, table or tenant does not open.
"""

import secrets
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

FORMAT = b"\x01"
KEY_BYTES = 32
NONCE_BYTES = 12
NUMBER_BYTES = 4
HEADER_BYTES = len(FORMAT) + NUMBER_BYTES + NONCE_BYTES


class UnsealError(Exception):
    """The value was changed, moved, or sealed with a key that is gone. Says no more."""


class Place(Struct, frozen=True, kw_only=True):
    """Where a secret lives."""

    organization_id: UUID
    table: str
    column: str
    row_id: UUID

    def associated_data(self, number: int) -> bytes:
        return f"{self.organization_id}|{self.table}|{self.column}|{self.row_id}|{number}".encode()


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def seal(plaintext: bytes, place: Place, *, key: bytes, number: int) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    ciphertext = AESGCM(key).encrypt(nonce, plaintext, place.associated_data(number))
    return FORMAT + number.to_bytes(NUMBER_BYTES) + nonce + ciphertext


def key_number_of(sealed: bytes) -> int:
    """Which data key a value was sealed with. Raises `UnsealError` for what is no sealed value."""
    if not sealed.startswith(FORMAT) or len(sealed) < HEADER_BYTES:
        raise UnsealError("not a sealed value")
    return int.from_bytes(sealed[len(FORMAT) : len(FORMAT) + NUMBER_BYTES])


def unseal(sealed: bytes, place: Place, *, key: bytes) -> bytes:
    number = key_number_of(sealed)
    nonce = sealed[len(FORMAT) + NUMBER_BYTES : HEADER_BYTES]
    try:
        return AESGCM(key).decrypt(nonce, sealed[HEADER_BYTES:], place.associated_data(number))
    except InvalidTag as error:
        raise UnsealError("the value does not belong here, or was changed") from error
