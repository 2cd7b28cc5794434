"""Custom fields as they are read: their list, and what a filter needs of them."""

from sqlalchemy import bindparam, select

from core.sdk import ListQuery, Read, mine
from modules.networking.field_models import CustomField
from modules.networking.field_schemas import FieldOut
from modules.networking.field_values import Field

COLUMNS = tuple(getattr(CustomField, name) for name in Field.__struct_fields__)
CUSTOM_FIELDS = ListQuery(
    CustomField,
    columns=tuple(getattr(CustomField, name) for name in FieldOut.__struct_fields__),
    filters={"archived": CustomField.archived == bindparam("archived")},
    sorts={"label": CustomField.label, "created_at": CustomField.created_at},
    default_sort="created_at",
)
ALL_FIELDS = Read(select(*COLUMNS).where(mine(CustomField)).order_by(CustomField.created_at, CustomField.id))
REQUIRED_FIELDS = Read(select(*COLUMNS).where(mine(CustomField), CustomField.required, ~CustomField.archived))
