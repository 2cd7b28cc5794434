"""The chain's SQL and arithmetic: what a seal covers, and how its hash is made.

A seal's hash is an HMAC over the seal before and a digest of the entries that it covers. PostgreSQL makes the digest,
so that no entry has to travel; the HMAC's key is not in the database, so whoever edits rows there, a superuser
included, can't make the chain fit again. Entries are covered in the order of their transactions, and only below the
oldest one that was still running: none can slip in behind a seal.
"""

import hashlib
import hmac
from collections.abc import Mapping
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import ARRAY, Uuid, bindparam, text

ENTRIES = 5000
"""That one seal covers at most; what is wrong can be told to within so many."""
TRAILS_AT_ONCE = 100
"""Sealed by one statement, which so stays far from its time limit."""

DIGEST = """
    SELECT count(*)::int AS entries, min(entry.xid) AS first_xid, max(entry.xid) AS last_xid,
           (array_agg(entry.sequence ORDER BY entry.xid, entry.sequence))[count(*)] AS last_sequence,
           sha256(coalesce(string_agg(entry.digest, '' ORDER BY entry.xid, entry.sequence), '')) AS digest
    FROM (
        SELECT log.xid, log.sequence, sha256(convert_to(jsonb_build_array(
            log.organization_id, log.xid::text, log.sequence, log.id, extract(epoch FROM log.created_at), log.user_id,
            log.impersonator_id, log.api_key_id, log.address, log.correlation_id, log.job_id, log.job_name,
            log.table_name, log.record_id, log.action, log.old_values, log.new_values, log.metadata
        )::text, 'UTF8')) AS digest
        FROM core.audit_logs AS log
        WHERE log.organization_id = {organization} AND (log.xid, log.sequence) > ({after}) AND {until}
        ORDER BY log.xid, log.sequence LIMIT {limit}
    ) AS entry
"""
LAST_SEAL = """
    SELECT seal.number, seal.through_xid, seal.through_sequence, seal.hash FROM core.audit_seals AS seal
    WHERE seal.organization_id = trail.id ORDER BY seal.number DESC LIMIT 1
"""
TRAILS = """
    WITH RECURSIVE trail AS (
        (SELECT organization_id AS id FROM core.audit_logs ORDER BY organization_id LIMIT 1)
        UNION ALL
        SELECT (SELECT log.organization_id FROM core.audit_logs AS log WHERE log.organization_id > trail.id
                ORDER BY log.organization_id LIMIT 1)
        FROM trail WHERE trail.id IS NOT NULL
    )
"""
"""Every organization with entries, found by one look at the index for each."""
DUE = text(f"""
    {TRAILS}
    SELECT trail.id AS organization_id, coalesce(last.number, 0) AS number, coalesce(last.hash, ''::bytea) AS previous,
           run.entries, run.last_xid::text AS through_xid, run.last_sequence AS through_sequence, run.digest,
           run.first_xid < CAST(CAST(:mark AS text) AS xid8) AS is_late
    FROM trail
    LEFT JOIN LATERAL ({LAST_SEAL}) AS last ON true
    CROSS JOIN LATERAL ({
    DIGEST.format(
        organization="trail.id",
        after="coalesce(last.through_xid, '0'::xid8), coalesce(last.through_sequence, 0)",
        until="log.xid < CAST(CAST(:below AS text) AS xid8)",
        limit=ENTRIES,
    )
}) AS run
    WHERE trail.id <> ALL (:skipped) AND run.entries > 0
    LIMIT {TRAILS_AT_ONCE}
""").bindparams(bindparam("skipped", type_=ARRAY(Uuid)))  # noqa: S608 # of our own parts alone
ADD_SEAL = text("""
    INSERT INTO core.audit_seals
        (organization_id, number, through_xid, through_sequence, below_xid, entries, key_name, hash)
    VALUES (:organization_id, :number, CAST(CAST(:through_xid AS text) AS xid8), :through_sequence,
            CAST(CAST(:below_xid AS text) AS xid8), :entries, :key_name, :hash)
""")
BOUNDS = text("""
    SELECT coalesce((SELECT below_xid FROM core.audit_seals ORDER BY below_xid DESC LIMIT 1), '0'::xid8)::text AS mark,
           pg_snapshot_xmin(pg_current_snapshot())::text AS below
""")
SEALS = text(f"""
    SELECT seal.number, seal.entries, seal.through_xid::text AS through_xid, seal.through_sequence, seal.key_name,
           seal.below_xid::text AS below_xid, seal.hash, run.entries AS found, run.digest
    FROM (
        SELECT *, lag(through_xid, 1, CAST(CAST(:after_xid AS text) AS xid8)) OVER by_number AS after_xid,
               lag(through_sequence, 1, CAST(:after_sequence AS bigint)) OVER by_number AS after_sequence
        FROM core.audit_seals WHERE organization_id = :organization_id AND number > :after
        WINDOW by_number AS (ORDER BY number) ORDER BY number LIMIT :fetch
    ) AS seal
    CROSS JOIN LATERAL ({
    DIGEST.format(
        organization="seal.organization_id",
        after="seal.after_xid, seal.after_sequence",
        until="(log.xid, log.sequence) <= (seal.through_xid, seal.through_sequence)",
        limit="seal.entries + 1",
    )
}) AS run
    ORDER BY seal.number
""")  # noqa: S608 # likewise
SEAL_NUMBERED = text("""
    SELECT through_xid::text AS through_xid, through_sequence, hash FROM core.audit_seals
    WHERE organization_id = :organization_id AND number = :number
""")
UNSEALED = text("""
    SELECT count(*) AS entries, coalesce(bool_or(xid < CAST(CAST(:mark AS text) AS xid8)), false) AS is_late
    FROM core.audit_logs WHERE organization_id = :organization_id
      AND (xid, sequence) > (CAST(CAST(:through_xid AS text) AS xid8), CAST(:through_sequence AS bigint))
""")


class Link(Struct, frozen=True, kw_only=True):
    """What a seal's hash is made of, beside the hash before."""

    organization_id: UUID
    number: int
    through_xid: str
    through_sequence: int
    below_xid: str
    entries: int
    digest: bytes


class SealKeys:
    """The keys of the chain, each derived from the wrapping key of the same name."""

    def __init__(self, wrapping_keys: Mapping[str, bytes]) -> None:
        """`wrapping_keys` by name, the primary one first."""
        self._keys = {
            name: hashlib.blake2b(b"audit-chain", key=key, digest_size=32).digest()
            for name, key in wrapping_keys.items()
        }
        self.primary = next(iter(self._keys))

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def hash(self, name: str, previous: bytes, link: Link) -> bytes:
        return hmac.digest(self._keys[name], previous + msgspec.json.encode(link), "sha256")
