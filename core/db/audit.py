"""What the audit trail holds of a table, as its model declares it, and the triggers that write it down.

A tenant table is in the trail unless its model says why not: `class Chunk(TenantModel, …, unaudited="a piece of a
file, gone after the import")`. A column says by its `info` what the trail may show of it:

    key_hash: Mapped[bytes] = mapped_column(LargeBinary, info=HIDDEN)       # that it changed, never a value
    last_used_at: Mapped[datetime | None] = mapped_column(info=QUIET)       # nothing: its change is no change

Sealed columns are hidden without a word. Generated columns and the row's own bookkeeping are left out: they say
nothing that the other columns don't.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from sqlalchemy import Column, Table

HIDDEN = {"hidden": True}
QUIET = {"quiet": True}
BOOKKEEPING = ("version", "updated_at")

type TrailOwner = Literal["tenant", "organization", "person"]
"""Whose trail a table's rows belong in: the organization they name, the one they are, or each that the person is in."""


class AuditRule(Struct, frozen=True, kw_only=True):
    """How one table is written down."""

    owner: TrailOwner = "tenant"
    hidden: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    """Beside `BOOKKEEPING`, which is left out of every table."""


def audit_rule(table: Table) -> AuditRule | None:
    """What the model declares; None where the table is not in the trail."""
    owner: TrailOwner | None = table.info.get("audit", "tenant" if table.info.get("tenant") else None)
    if owner is None or table.info.get("unaudited"):
        return None
    return AuditRule(
        owner=owner,
        hidden=tuple(column.name for column in table.columns if _is_hidden(column)),
        omitted=tuple(column.name for column in table.columns if _is_omitted(column)),
    )


def _is_hidden(column: "Column[object]") -> bool:
    return bool(column.info.get("hidden") or column.info.get("sealed"))


def _is_omitted(column: "Column[object]") -> bool:
    return bool(column.info.get("quiet") or column.computed is not None)


TRIGGERS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
}


def audit_table(table: str, rule: AuditRule) -> list[str]:
    """Statements that have every change of a qualified table written down; those of an older rule are replaced."""
    arguments = [rule.owner, _array(rule.hidden), _array((*BOOKKEEPING, *rule.omitted))]
    call = f"core.audit({', '.join(repr(argument) for argument in arguments)})"
    return [
        f"CREATE OR REPLACE TRIGGER audit_{event.lower()} AFTER {event} ON {table} {rows} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {call}"
        for event, rows in TRIGGERS.items()
    ]


def leave_unaudited(table: str) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS audit_{event.lower()} ON {table}" for event in TRIGGERS]


def _array(columns: Sequence[str]) -> str:
    """A PostgreSQL array literal; the names of columns need no quotes in it."""
    return "{" + ",".join(columns) + "}"
