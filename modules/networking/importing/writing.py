"""Writing many rows in one statement: they go over as one JSON text and PostgreSQL takes them apart."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import (
    JSON,
    ColumnElement,
    Table,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy import cast as cast_to

from core.sdk import Ctx, TenantModel, clock, new_id
from modules.networking.importing.planning import ERASED_PERSON, Decision, Values
from modules.networking.models import Contact, ContactImport, ContactImportError, ContactImportRow
from modules.networking.values import Consent, ContactStatus, ContactType, Priority, RowOutcome, Visibility

TAKEN = tuple(
    "first_name last_name email additional_emails phone phone_e164 company job_title linkedin_url linkedin_key bio "
    "avatar_url contact_type status priority business_type network_type industry notes marketing_consent custom".split()
)
"""Columns of a contact that a file can fill."""
STAMPS = ("updated_by", "updated_at")
DEFAULTS: Values = dict.fromkeys(TAKEN) | {
    "additional_emails": [],
    "custom": {},
    "contact_type": ContactType.TARGET,
    "status": ContactStatus.NEW_CLIENT,
    "priority": Priority.MEDIUM,
    "marketing_consent": Consent.UNKNOWN,
}


class BulkRows:
    """The rows of a table's columns as a source to select from."""

    def __init__(self, model: type[TenantModel], names: Sequence[str]) -> None:
        table = cast("Table", model.__table__)
        text = cast_to(bindparam("rows", type_=Text), JSON)
        null: ColumnElement[Any] = literal_column(f"NULL::{table.fullname}")
        columns = [column(name, table.c[name].type) for name in names]
        self.names = list(names)
        self.source = func.json_populate_recordset(null, text).table_valued(*columns, name="given")

    def values(self) -> Any:
        return select(*(self.source.c[name] for name in self.names))


def _insert(model: type[TenantModel], names: Sequence[str]) -> Any:
    rows = BulkRows(model, ["organization_id", "id", *names])
    return insert(cast("Table", model.__table__)).from_select(rows.names, rows.values(), include_defaults=False)


_CHANGED = BulkRows(Contact, ["organization_id", "id", *TAKEN, *STAMPS])
INSERT_CONTACTS = _insert(
    Contact,
    [
        "created_by",
        "owner_id",
        "visibility",
        "created_at",
        "version",
        "metadata",
        "lead_score",
        "is_deleted",
        *TAKEN,
        *STAMPS,
    ],
)
UPDATE_CONTACTS = (
    update(Contact)
    .where(
        Contact.organization_id == _CHANGED.source.c.organization_id,
        Contact.id == _CHANGED.source.c.id,
        Contact.organization_id == bindparam("tenant", type_=Uuid()),
    )
    .values({name: _CHANGED.source.c[name] for name in (*TAKEN, *STAMPS)} | {"version": Contact.version + 1})
    .execution_options(synchronize_session=False)
)
OWN = ("version", "created_at", "updated_at")
INSERT_ROWS = _insert(
    ContactImportRow,
    [*OWN, "import_id", "line", "outcome", "code", "contact_id", "contact_version", "before", "cells"],
)
INSERT_ERRORS = _insert(ContactImportError, [*OWN, "import_id", "line", "column", "code", "reason"])


async def write(ctx: Ctx, statement: Any, rows: Sequence[Values], **parameters: Any) -> None:
    if rows:
        await ctx.db.execute(statement, {"rows": msgspec.json.encode(rows).decode(), **parameters})


async def insert_contacts(ctx: Ctx, job: ContactImport, contacts: dict[UUID, Values]) -> None:
    stamps = _stamps(job)
    common: Values = (
        DEFAULTS
        | stamps
        | {
            "organization_id": ctx.organization_id,
            "created_by": job.created_by,
            "owner_id": job.created_by,
            "visibility": Visibility.ORGANIZATION,
            "created_at": stamps["updated_at"],
            "version": 1,
            "metadata": {},
            "lead_score": 0,
            "is_deleted": False,
        }
    )
    await write(ctx, INSERT_CONTACTS, [common | values | {"id": key} for key, values in contacts.items()])


async def update_contacts(ctx: Ctx, contacts: dict[UUID, Values]) -> None:
    """Set all columns that a file can fill, and the stamps."""
    rows = [values | {"organization_id": ctx.organization_id, "id": key} for key, values in contacts.items()]
    await write(ctx, UPDATE_CONTACTS, rows, tenant=ctx.organization_id)


def stamped(job: ContactImport, values: Values) -> Values:
    return values | _stamps(job)


def _stamps(job: ContactImport) -> Values:
    return {"updated_by": job.created_by, "updated_at": clock.now()}


async def report(
    ctx: Ctx,
    job: ContactImport,
    decisions: Sequence[Decision],
    *,
    before: dict[UUID, Values],
    versions: dict[UUID, int],
) -> None:
    """What became of each row. The first row that touches a contact keeps what it was before the batch."""
    now = clock.now()
    own = {"organization_id": ctx.organization_id, "import_id": job.id}
    own |= {"version": 1, "created_at": now, "updated_at": now}
    rows: list[Values] = []
    errors: list[Values] = []
    unclaimed = dict(before)
    for decision in decisions:
        line, contact_id = decision.row.line, decision.contact_id
        touched = contact_id is not None and decision.outcome in {RowOutcome.CREATED, RowOutcome.UPDATED}
        rows.append(
            own
            | {
                "id": new_id(),
                "line": line,
                "outcome": decision.outcome,
                "code": decision.code,
                "contact_id": contact_id,
                "contact_version": versions.get(contact_id) if contact_id and touched else None,
                "before": unclaimed.pop(contact_id, None) if contact_id and touched else None,
                "cells": None if touched or decision.code == ERASED_PERSON else decision.row.cells,
            }
        )
        errors += [
            own | {"id": new_id(), "line": line, "column": error.field, "code": error.code, "reason": error.message}
            for error in decision.errors
        ]
    await write(ctx, INSERT_ROWS, rows)
    await write(ctx, INSERT_ERRORS, errors)
