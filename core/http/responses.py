"""Small shapes that most routes share: JSON that is already bytes, a row with its ETag, and the usual parameters."""

from typing import Annotated, Any, cast

from litestar import Request, Response
from litestar.params import HeaderParameter, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.serialization import encode_json
from litestar.types import Receive, Scope, Send

from core.db.pages import MAX_LIMIT
from core.http.conditions import etag_of, is_known

JSON = "application/json"
NOT_MODIFIED = 304
SHOWN = 200

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


class WholeJson[T](Response[T]):
    """An answer that is JSON already, and so needs none of what Litestar does to make bytes of one."""

    def __init__(self, body: bytes, *, headers: dict[str, str] | None = None, status_code: int | None = None) -> None:
        """What Litestar's own comes to where nothing has to be brought into shape."""
        self.content = cast("T", body)
        self.headers = headers or {}
        self.status_code = status_code
        self.media_type = JSON
        self.encoding = "utf-8"
        self.cookies = []
        self.background = None
        self.response_type_encoders = {}

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **others: Any) -> ASGIResponse:
        """Where somebody adds more than headers of text and a status, Litestar joins the two (`others` are the
        handler's)."""
        added = others.get("headers") or others.get("cookies") or others.get("background")
        if added or self.cookies or self.background:
            return super().to_asgi_response(app, request, **others)
        body = cast("bytes", self.content)
        headers = {"content-type": JSON, "content-length": len(body)}
        headers |= {name.lower(): value for name, value in self.headers.items()}
        raw = [(name.encode("latin-1"), str(value).encode("latin-1")) for name, value in headers.items()]
        status = self.status_code or others["status_code"]

        async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": status, "headers": raw})
            await send({"type": "http.response.body", "body": body, "more_body": False})

        return cast("ASGIResponse", answer)


class Tagged[T](WholeJson[T]):
    """One row with its ETag. A GET whose client has it already is answered 304, without it."""

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **others: Any) -> ASGIResponse:
        known = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"if-none-match"]
        is_read = request.scope["method"] == "GET" and self.status_code == SHOWN
        if known and is_read and is_known(known, self.headers["ETag"]):
            same = Response(None, status_code=NOT_MODIFIED, headers=self.headers, cookies=self.cookies)
            return same.to_asgi_response(app, request, **others)
        return super().to_asgi_response(app, request, **others)


def json_bytes(body: bytes) -> Response[Any]:
    """An answer that PostgreSQL or msgspec has already put into JSON."""
    return WholeJson(body)


def tagged[T](body: T, *, version: int, status_code: int = SHOWN) -> Tagged[T]:
    """One row, with the ETag of its version and of all that is shown."""
    shown = encode_json(body)
    return Tagged(shown, status_code=status_code, headers={"ETag": etag_of(version, shown)})
