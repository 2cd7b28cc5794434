"""Identifiers are UUIDs of version 7: ordered by time of birth, so that new rows land at the end of an index."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    return uuid7()
