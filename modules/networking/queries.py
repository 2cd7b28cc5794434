"""The read side of networking. Each query carries its own tenant predicate: row security is the second wall."""

from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, exists, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, aliased

from core.sdk import ListQuery, Read, TenantModel, mine
from modules.networking.import_schemas import ImportSummary
from modules.networking.models import (
    Contact,
    ContactImport,
    ContactImportError,
    ContactImportRow,
    ContactInteraction,
    ContactMerge,
    DuplicatePair,
)
from modules.networking.searching import SEARCHED, hits
from modules.networking.tag_models import ContactTag, Tag
from modules.networking.visibility import ASKER, visible

CONTACT_COLUMNS = (
    Contact.id,
    Contact.organization_id,
    Contact.version,
    Contact.created_by,
    Contact.updated_by,
    Contact.owner_id,
    Contact.visibility,
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
    Contact.custom,
    Contact.lead_score,
    Contact.last_interaction,
    Contact.created_at,
    Contact.updated_at,
    Contact.is_deleted,
    Contact.deleted_at,
    select(func.coalesce(func.array_agg(aggregate_order_by(Tag.name, Tag.key)), literal_column("'{}'::text[]")))
    .join(ContactTag, (ContactTag.organization_id == Tag.organization_id) & (ContactTag.tag_id == Tag.id))
    .where(ContactTag.organization_id == Contact.organization_id, ContactTag.contact_id == Contact.id)
    .correlate(Contact)
    .scalar_subquery()
    .label("tags"),
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
CONTACT_FILTERS: dict[str, ColumnElement[bool]] = {
    "contact_type": Contact.contact_type == bindparam("contact_type"),
    "status": Contact.status == bindparam("status"),
    "priority": Contact.priority == bindparam("priority"),
    "industry": Contact.industry == bindparam("industry"),
    "owner_id": Contact.owner_id == bindparam("owner_id"),
    "custom": Contact.custom.contains(bindparam("custom", type_=JSONB)),
    "tag": exists().where(
        Tag.organization_id == Contact.organization_id,
        Tag.key == bindparam("tag"),
        ContactTag.organization_id == Tag.organization_id,
        ContactTag.tag_id == Tag.id,
        ContactTag.contact_id == Contact.id,
    ),
}
"""The same filters serve the list, the search and the export."""

LIVING, TRASHED = hits(is_deleted=False), hits(is_deleted=True)

CONTACTS = ListQuery(
    Contact,
    columns=CONTACT_COLUMNS,
    where=[~Contact.is_deleted, visible(Contact)],
    filters=CONTACT_FILTERS,
    sorts=CONTACT_SORTS,
    besides=ASKER,
)
DELETED_CONTACTS = ListQuery(
    Contact,
    columns=CONTACT_COLUMNS,
    where=[Contact.is_deleted, Contact.merged_into.is_(None), visible(Contact)],
    filters=CONTACT_FILTERS,
    sorts=CONTACT_SORTS,
    besides=ASKER,
)
"""What can be restored."""
FOUND_CONTACTS = ListQuery(
    Contact,
    columns=(*CONTACT_COLUMNS, LIVING.c.relevance),
    where=[~Contact.is_deleted, visible(Contact)],
    filters=CONTACT_FILTERS | {"q": LIVING.c.contact_id == Contact.id},
    sorts=CONTACT_SORTS | {"relevance": LIVING.c.relevance},
    default_sort="-relevance",
    besides=(*ASKER, *SEARCHED),
)
FOUND_DELETED_CONTACTS = ListQuery(
    Contact,
    columns=(*CONTACT_COLUMNS, TRASHED.c.relevance),
    where=[Contact.is_deleted, Contact.merged_into.is_(None), visible(Contact)],
    filters=CONTACT_FILTERS | {"q": TRASHED.c.contact_id == Contact.id},
    sorts=CONTACT_SORTS | {"relevance": TRASHED.c.relevance},
    default_sort="-relevance",
    besides=(*ASKER, *SEARCHED),
)

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


def _unless_hidden(contact_id: InstrumentedAttribute[UUID | None], *, of: type[TenantModel]) -> ColumnElement[Any]:
    """The id of a contact that the viewer may see, else null."""
    contact = aliased(Contact)
    return (
        select(contact.id)
        .where(contact.organization_id == of.organization_id, contact.id == contact_id, visible(contact))
        .correlate(of)
        .scalar_subquery()
        .label(contact_id.key)
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
        _unless_hidden(ContactImportRow.contact_id, of=ContactImportRow),
    ),
    besides=ASKER,
    filters={
        "import_id": ContactImportRow.import_id == bindparam("import_id"),
        "outcome": ContactImportRow.outcome == bindparam("outcome"),
    },
    sorts={"line": ContactImportRow.line},
    default_sort="line",
)


def _seen(
    contact_id: InstrumentedAttribute[UUID], *, of: type[TenantModel], is_living: bool = True
) -> ColumnElement[bool]:
    contact = aliased(Contact)
    seen = exists().where(contact.organization_id == of.organization_id, contact.id == contact_id, visible(contact))
    return seen.where(~contact.is_deleted) if is_living else seen


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
    where=[
        _seen(ContactMerge.survivor_id, of=ContactMerge, is_living=False),
        _seen(ContactMerge.merged_id, of=ContactMerge, is_living=False),
    ],
    besides=ASKER,
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
    where=[_seen(DuplicatePair.first_id, of=DuplicatePair), _seen(DuplicatePair.second_id, of=DuplicatePair)],
    besides=ASKER,
    filters={"dismissed": DuplicatePair.is_dismissed == bindparam("dismissed")},
    sorts={"score": DuplicatePair.score},
    default_sort="-score",
)


EXPORT_FILTERS = CONTACT_FILTERS | {"q": LIVING.c.contact_id == Contact.id}
EXPORT_SORTS = CONTACT_SORTS | {"relevance": LIVING.c.relevance}


@lru_cache(maxsize=128)
def contacts_export(filters: tuple[str, ...], sort: str = "created_at") -> Read:
    """All living contacts that fit the filters and that the viewer may see, the oldest first unless `sort` says more.
    By `relevance` only with `q`."""
    column = EXPORT_SORTS[sort.removeprefix("-")]
    order = (column.desc(), Contact.id.desc()) if sort.startswith("-") else (column.asc(), Contact.id.asc())
    return Read(
        select(*CONTACT_COLUMNS)
        .where(mine(Contact), ~Contact.is_deleted, visible(Contact), *(EXPORT_FILTERS[name] for name in filters))
        .order_by(*order)
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
