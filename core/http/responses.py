"""Small shapes that most routes share: JSON that is already bytes, a row with its ETag, and the usual parameters."""

from typing import Annotated, Any, cast

from litestar import Response
from litestar.params import HeaderParameter, QueryParameter

from core.db.pages import MAX_LIMIT
from core.http.conditions import etag_of

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Rows on a page")]
PageCursor = Annotated[
    str | None,
    QueryParameter(
        title="`next_cursor` of a page, unchanged",
        description="`next_cursor` of the page before",
        max_length=2000,
        pattern=r"^[A-Za-z0-9_-]+$(?!\n)",
    ),
]
IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", max_length=200, description="The ETag that was read")]


def json_bytes(body: bytes) -> Response[Any]:
    """An answer that PostgreSQL or msgspec has already put into JSON."""
    return Response(cast("Any", body), media_type="application/json")


def tagged[T](body: T, *, version: int, status_code: int = 200) -> Response[T]:
    """One row, with its version as ETag."""
    return Response(body, status_code=status_code, headers={"ETag": etag_of(version)})
