"""The read side of networking. Each query carries its own tenant predicate: row security is the second wall."""

from functools import lru_cache
from uuid import UUID

from sqlalchemy import ColumnElement, Text, bindparam, cast, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.sdk import ListQuery, Read, mine
from modules.networking.models import (
    Contact,
    ContactImport,
    ContactImportError,
    ContactImportRow,
    ContactInteraction,
    ContactMerge,
    DuplicatePair,
)
from modules.networking.schemas import ImportSummary

MAX_TERMS = 8

CONTACT_COLUMNS = (
    Contact.id,
    Contact.organization_id,
    Contact.version,
    Contact.created_by,
    Contact.updated_by,
    Contact.first_name,
    Contact.last_name,
    Contact.email,
    Contact.additional_emails,
    Contact.phone,
    Contact.company,
    Contact.job_title,
    Contact.linkedin_url,
    Contact.bio,
    Contact.avatar_url,
    Contact.contact_type,
    Contact.status,
    Contact.priority,
    Contact.business_type,
    Contact.network_type,
    Contact.industry,
    Contact.notes,
    Contact.marketing_consent,
    Contact.metadata_.label("metadata"),
    Contact.lead_score,
    Contact.last_interaction,
    Contact.created_at,
    Contact.updated_at,
    Contact.is_deleted,
    Contact.deleted_at,
)
CONTACT_SORTS = {
    "created_at": Contact.created_at,
    "updated_at": Contact.updated_at,
    "first_name": Contact.first_name,
    "last_name": Contact.last_name,
    "company": Contact.company,
    "lead_score": Contact.lead_score,
    "last_interaction": Contact.last_interaction,
}
FOUND = select(func.networking.find_contacts(bindparam("q", type_=ARRAY(Text))).column_valued("id"))
"""Ids of the contacts whose text holds every term. A definer function, since row security keeps the planner from the
trigram index: its operators are not leakproof."""

CONTACT_FILTERS: dict[str, ColumnElement[bool]] = {
    "contact_type": Contact.contact_type == bindparam("contact_type"),
    "status": Contact.status == bindparam("status"),
    "priority": Contact.priority == bindparam("priority"),
    "industry": Contact.industry == bindparam("industry"),
    "q": Contact.id.in_(FOUND),
}
"""The same filters serve the list and the export."""

CONTACTS = ListQuery(
    Contact, columns=CONTACT_COLUMNS, where=[~Contact.is_deleted], filters=CONTACT_FILTERS, sorts=CONTACT_SORTS
)
DELETED_CONTACTS = ListQuery(
    Contact,
    columns=CONTACT_COLUMNS,
    where=[Contact.is_deleted, Contact.merged_into.is_(None)],
    filters=CONTACT_FILTERS,
    sorts=CONTACT_SORTS,
)
"""What can be restored."""

INTERACTIONS = ListQuery(
    ContactInteraction,
    columns=(
        ContactInteraction.id,
        ContactInteraction.organization_id,
        ContactInteraction.version,
        ContactInteraction.contact_id,
        ContactInteraction.user_id,
        ContactInteraction.interaction_type,
        ContactInteraction.subject,
        ContactInteraction.description,
        ContactInteraction.outcome,
        ContactInteraction.interaction_date,
        ContactInteraction.status,
        ContactInteraction.remind_at,
        ContactInteraction.metadata_.label("metadata"),
        ContactInteraction.created_at,
        ContactInteraction.updated_at,
        ContactInteraction.is_deleted,
        ContactInteraction.deleted_at,
    ),
    where=[~ContactInteraction.is_deleted],
    filters={"contact_id": ContactInteraction.contact_id == bindparam("contact_id")},
    sorts={"interaction_date": ContactInteraction.interaction_date, "created_at": ContactInteraction.created_at},
    default_sort="-interaction_date",
)

IMPORT_ERRORS = ListQuery(
    ContactImportError,
    columns=(
        ContactImportError.id,
        ContactImportError.line,
        ContactImportError.column,
        ContactImportError.code,
        ContactImportError.reason,
    ),
    filters={"import_id": ContactImportError.import_id == bindparam("import_id")},
    sorts={"line": ContactImportError.line},
    default_sort="line",
)

IMPORTS = ListQuery(
    ContactImport,
    columns=tuple(getattr(ContactImport, name) for name in ImportSummary.__struct_fields__),
    filters={"state": ContactImport.state == bindparam("state")},
    sorts={"created_at": ContactImport.created_at},
)

IMPORT_ROWS = ListQuery(
    ContactImportRow,
    columns=(
        ContactImportRow.id,
        ContactImportRow.line,
        ContactImportRow.outcome,
        ContactImportRow.code,
        ContactImportRow.contact_id,
    ),
    filters={
        "import_id": ContactImportRow.import_id == bindparam("import_id"),
        "outcome": ContactImportRow.outcome == bindparam("outcome"),
    },
    sorts={"line": ContactImportRow.line},
    default_sort="line",
)


def _living(contact_id: InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    contact = aliased(Contact)
    return exists().where(
        contact.organization_id == DuplicatePair.organization_id, contact.id == contact_id, ~contact.is_deleted
    )


MERGES = ListQuery(
    ContactMerge,
    columns=(
        ContactMerge.id,
        ContactMerge.survivor_id,
        ContactMerge.merged_id,
        ContactMerge.created_by,
        ContactMerge.created_at,
        ContactMerge.undo_until,
    ),
    filters={"survivor_id": ContactMerge.survivor_id == bindparam("survivor_id")},
    sorts={"created_at": ContactMerge.created_at},
)

DUPLICATE_PAIRS = ListQuery(
    DuplicatePair,
    columns=(
        DuplicatePair.id,
        DuplicatePair.first_id,
        DuplicatePair.second_id,
        DuplicatePair.tier,
        DuplicatePair.score,
        DuplicatePair.reasons,
        DuplicatePair.dismissed_at,
    ),
    where=[_living(DuplicatePair.first_id), _living(DuplicatePair.second_id)],
    filters={"dismissed": DuplicatePair.is_dismissed == bindparam("dismissed")},
    sorts={"score": DuplicatePair.score},
    default_sort="-score",
)


def search_terms(q: str | None) -> list[str] | None:
    """The words of a search as LIKE patterns, the longest first: it is the one that the index looks up.

    Every word must be found. None where there is nothing to search for.
    """
    words = sorted((q or "").lower().split()[:MAX_TERMS], key=len, reverse=True)
    escaped = (word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") for word in words)
    return [f"%{word}%" for word in escaped] or None


@lru_cache(maxsize=128)
def contacts_export(filters: tuple[str, ...]) -> Read:
    """All living contacts that fit the filters, oldest first."""
    return Read(
        select(*CONTACT_COLUMNS)
        .where(mine(Contact), ~Contact.is_deleted, *(CONTACT_FILTERS[name] for name in filters))
        .order_by(Contact.created_at, Contact.id)
    )


CONTACT = Read(
    select(cast(func.row_to_json(literal_column("contact")), Text)).select_from(
        select(*CONTACT_COLUMNS)
        .where(mine(Contact), Contact.id == bindparam("id"), ~Contact.is_deleted)
        .subquery("contact")
    )
)


IMPORT_ERROR_FILE = Read(
    select(
        ContactImportRow.line,
        ContactImportRow.cells,
        func.array_agg(ContactImportError.column).label("columns"),
        func.array_agg(ContactImportError.code).label("codes"),
        func.array_agg(ContactImportError.reason).label("reasons"),
    )
    .join(
        ContactImportError,
        (ContactImportError.organization_id == ContactImportRow.organization_id)
        & (ContactImportError.import_id == ContactImportRow.import_id)
        & (ContactImportError.line == ContactImportRow.line),
    )
    .where(mine(ContactImportRow), ContactImportRow.import_id == bindparam("import_id"))
    .group_by(ContactImportRow.line, ContactImportRow.cells)
    .order_by(ContactImportRow.line)
)
"""The rows that failed, as they stood in the file, each with all that is wrong with it."""
