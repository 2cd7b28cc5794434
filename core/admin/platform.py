"""What the operators' routes stand on. All of it acts as the system role, across organizations; this is one of its few
named places."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

from core.db.database import Database
from core.db.models import Base
from core.db.pages import CursorSigner, ListQuery
from core.db.reads import SystemReads
from core.identity.links import Links
from core.identity.service import Identity
from core.plugs.discovery import Plugs
from core.plugs.switchboard import Switchboard

EVERYBODY = b"platform"
"""In place of an organization, in the signature of cursors."""

type Column = ColumnElement[Any] | InstrumentedAttribute[Any]


def columns_of(model: type[Base], shown: type[Struct], **more: Column) -> list[Column]:
    """The columns of a model that a Struct shows, by its fields' names, and `more` that are worked out."""
    return [more[name].label(name) if name in more else getattr(model, name) for name in shown.__struct_fields__]


class Platform(Struct, frozen=True, kw_only=True):
    """Opened with the process; the lifespan leaves it in `app.state.platform`."""

    database: Database
    cursors: CursorSigner
    identity: Identity
    links: Links
    plugs: Plugs
    switchboard: Switchboard
    ring: Callable[[], None]
    """Tells the relay that there are jobs."""

    async def page(self, query: ListQuery, *, sort: str, limit: int, cursor: str | None, **filters: Any) -> bytes:
        """One page of a list of everybody's rows, as the JSON of `Page`."""
        async with self.database.system() as system:
            return await query.page(
                SystemReads(system), self.cursors, EVERYBODY, sort=sort, limit=limit, cursor=cursor, filters=filters
            )
