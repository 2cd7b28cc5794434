"""Column types that SQLAlchemy lacks."""

from typing import Any

from sqlalchemy.types import UserDefinedType


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id. Readers of the stream order by it and stop below the oldest one running."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"
