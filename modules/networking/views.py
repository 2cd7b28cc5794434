"""Rows as their response Structs."""

from typing import Any

from msgspec import Raw, Struct, convert, json

from core.sdk import Ctx, Row
from modules.networking.field_schemas import CUSTOM
from modules.networking.import_schemas import ImportColumn, ImportErrorOut, ImportOut
from modules.networking.models import Contact, ContactImport, ContactImportError, ContactInteraction
from modules.networking.schemas import ContactOut, InteractionOut
from modules.networking.services.tagging import tags_of
from modules.networking.values import ImportField

FIELDS = frozenset(ImportField)
OF_LISTS = frozenset({"relevance"})
"""What only lists tell."""


def _shown[T: Struct](row: object, kind: type[T], **others: object) -> T:
    """Struct fields by the row's attribute of the same name; `metadata`, which SQLAlchemy keeps for itself, apart."""
    loaded, values = vars(row), dict(others)
    for name in kind.__struct_fields__:
        if name not in others and name not in OF_LISTS:
            attribute = "metadata_" if name == "metadata" else name
            values[name] = loaded[attribute] if attribute in loaded else getattr(row, attribute)
    return convert(values, kind)


def contact_of(row: Row) -> ContactOut:
    """As the list has it. The database vouches for the types, and its JSON is JSON already, but for the blanks that
    PostgreSQL writes and we don't: the same contact is the same bytes, and so has one ETag."""
    values: dict[str, Any] = dict(row.items())
    for name in ("metadata", "custom"):
        text: str = values[name]
        values[name] = Raw(json.format(text, indent=-1))
    return ContactOut(**values)


async def contact_out(ctx: Ctx, contact: Contact) -> ContactOut:
    return _shown(contact, ContactOut, tags=await tags_of(ctx, contact.id))


def untagged_out(contact: Contact) -> ContactOut:
    """Of one that is known to have no tags: nothing is looked up."""
    return _shown(contact, ContactOut, tags=[])


def interaction_out(interaction: ContactInteraction) -> InteractionOut:
    return _shown(interaction, InteractionOut)


def import_out(job: ContactImport, errors: list[ContactImportError]) -> ImportOut:
    shown = [_shown(error, ImportErrorOut) for error in errors]
    columns = [
        ImportColumn(name=name, field=field if field in FIELDS or field.startswith(CUSTOM) else None)
        for name, field in zip(job.columns, job.fields, strict=False)
    ]
    return _shown(job, ImportOut, errors=shown, columns=columns)
