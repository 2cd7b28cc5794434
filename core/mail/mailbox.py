"""`/mailbox`: the letters of the local default, in the browser.

They hold links that sign people in, so only this very machine may read them, by a name of its own: a page elsewhere
whose name was made to point here is turned away. Where `SMTP_URL` is set, as production demands, there is no such page.
"""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import escape
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from litestar import MediaType, Request, Response, Router, get
from litestar.params import FromPath

from core.errors import NotFound
from core.mail.delivery import LOOPBACK

MAX_SHOWN = 200
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>body {{ font: 1rem system-ui; margin: 2rem auto; max-width: 48rem; padding: 0 1rem }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}</style></head>
<body><h1>{title}</h1>{body}</body>
</html>
"""


LOCAL: dict[str, Any] = {"public": True, "rate": None}


def mailbox_router(folder: Path) -> Router:
    """Routes that read `folder`."""

    @get("/", include_in_schema=False, opt=LOCAL, sync_to_thread=True)
    def list_letters(request: Request[Any, Any, Any]) -> Response[str]:
        _only_from_here(request)
        files = sorted(folder.glob("*.eml"), key=lambda path: path.name, reverse=True)[:MAX_SHOWN]
        items = "".join(_line(path.stem, _read(path)) for path in files)
        return _page("Mailbox", f"<ul>{items}</ul>" if items else "<p>No letters yet.</p>")

    @get("/{name:uuid}", include_in_schema=False, opt=LOCAL, sync_to_thread=True)
    def show_letter(request: Request[Any, Any, Any], name: FromPath[Any]) -> Response[str]:
        _only_from_here(request)
        path = folder / f"{name}.eml"
        if not path.is_file():
            raise NotFound("There is no such letter")
        message = _read(path)
        headers = "".join(
            f"<li>{escape(field)}: {escape(str(message[field]))}</li>" for field in ("From", "To", "Date")
        )
        body = message.get_body(("plain",))
        text = "" if body is None else body.get_content()
        return _page(str(message["Subject"]), f'<ul>{headers}</ul><pre>{escape(text)}</pre><a href="/mailbox">All</a>')

    return Router("/mailbox", route_handlers=[list_letters, show_letter])


def _only_from_here(request: Request[Any, Any, Any]) -> None:
    client = request.client
    host = request.url.hostname or ""
    if client is None or not ip_address(client.host).is_loopback or host not in LOOPBACK:
        raise NotFound


def _read(path: Path) -> EmailMessage:
    message = message_from_bytes(path.read_bytes(), policy=default)
    assert isinstance(message, EmailMessage)  # noqa: S101 # the policy makes it one
    return message


def _line(name: str, message: EmailMessage) -> str:
    told = escape(f"{message['Subject']} → {message['To']}")
    return f'<li><a href="/mailbox/{name}">{told}</a></li>'


def _page(title: str, body: str) -> Response[str]:
    content = PAGE.format(title=escape(title), body=body)
    return Response(content, media_type=MediaType.HTML, headers={"content-security-policy": POLICY})
