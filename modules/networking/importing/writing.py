"""What a batch of an import writes: new contacts, changed ones, and what became of each row."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Uuid, bindparam, update

from core.sdk import Ctx, clock, new_id
from modules.networking.bulk import BulkRows, bulk_insert, write_rows
from modules.networking.importing.planning import ERASED_PERSON, WRITTEN, Decision, Values
from modules.networking.models import Contact, ContactImport, ContactImportError, ContactImportRow
from modules.networking.values import Consent, ContactStatus, ContactType, Priority, Visibility

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


_CHANGED = BulkRows(Contact, ["organization_id", "id", *TAKEN, *STAMPS])
INSERT_CONTACTS = bulk_insert(
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
INSERT_ROWS = bulk_insert(
    ContactImportRow,
    [*OWN, "import_id", "line", "outcome", "code", "contact_id", "contact_version", "before", "cells"],
)
INSERT_ERRORS = bulk_insert(ContactImportError, [*OWN, "import_id", "line", "column", "code", "reason"])


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
    await write_rows(ctx, INSERT_CONTACTS, [values | {"id": key} for key, values in contacts.items()], common=common)


async def update_contacts(ctx: Ctx, contacts: dict[UUID, Values]) -> None:
    """Set all columns that a file can fill, and the stamps."""
    rows = [values | {"id": key} for key, values in contacts.items()]
    common: Values = {"organization_id": ctx.organization_id}
    await write_rows(ctx, UPDATE_CONTACTS, rows, common=common, tenant=ctx.organization_id)


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
    common: Values = {"organization_id": ctx.organization_id, "import_id": job.id}
    common |= {"version": 1, "created_at": now, "updated_at": now}
    rows: list[Values] = []
    errors: list[Values] = []
    unclaimed = dict(before)
    for decision in decisions:
        line, contact_id = decision.row.line, decision.contact_id
        row: Values = {"id": new_id(), "line": line, "outcome": decision.outcome}
        if decision.code is not None:
            row["code"] = decision.code
        if contact_id is not None:
            row["contact_id"] = contact_id
        if contact_id is not None and decision.outcome in WRITTEN:
            row |= {"contact_version": versions.get(contact_id), "before": unclaimed.pop(contact_id, None)}
        elif decision.code != ERASED_PERSON:
            row["cells"] = decision.row.cells
        rows.append(row)
        errors += [
            {"id": new_id(), "line": line, "column": error.field, "code": error.code, "reason": error.message}
            for error in decision.errors
        ]
    await write_rows(ctx, INSERT_ROWS, rows, common=common)
    await write_rows(ctx, INSERT_ERRORS, errors, common=common)
