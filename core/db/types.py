"""Column types that SQLAlchemy lacks."""

from typing import Any, cast

from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id. Readers of the stream order by it and stop below the oldest one running."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


# Autogenerate meets the type in the database and has to know it there.
cast("dict[str, Any]", ischema_names)["xid8"] = Xid8
