"""Saved views as they are read: those of somebody, and one with whether its tag is still there."""

from sqlalchemy import Uuid, bindparam, exists, or_, select

from core.sdk import ListQuery, Read, mine
from modules.networking.saved_view_models import SavedView
from modules.networking.saved_view_schemas import ViewOut
from modules.networking.tag_models import Tag

_THEIRS = or_(SavedView.is_shared, SavedView.owner_id == bindparam("asker", type_=Uuid()))
SAVED_VIEWS = ListQuery(
    SavedView,
    columns=tuple(getattr(SavedView, name) for name in ViewOut.__struct_fields__),
    where=[_THEIRS],
    sorts={"name": SavedView.name, "created_at": SavedView.created_at},
    default_sort="name",
    besides=["asker"],
)
SAVED_VIEW = Read(
    select(
        SavedView.filters,
        SavedView.sort,
        SavedView.columns,
        exists()
        .where(Tag.organization_id == SavedView.organization_id, Tag.name == SavedView.filters["tag"].astext)
        .label("has_tag"),
    ).where(mine(SavedView), SavedView.id == bindparam("id", type_=Uuid()), _THEIRS)
)
