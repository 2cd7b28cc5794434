"""Where letters go: to an SMTP server, or into a folder on this machine where none is set.

`smtp://` turns to TLS where the server offers it; with a password it must, unless the server is this machine.
`smtps://` is TLS from the start.
"""

import asyncio
import os
import tempfile
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from core.mail.letters import recipient
from core.settings import Settings

STEP_SECONDS = 10.0
"""For each step of the conversation with the server."""
WHOLE_SECONDS = 30.0
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Mailer(Protocol):
    @property
    def sender(self) -> str: ...

    async def deliver(self, message: EmailMessage, *, to: str) -> None:
        """Hand the message over. Raises where the other side did not take it."""
        ...


class SmtpMailer:
    def __init__(self, url: str, *, sender: str) -> None:
        parts = urlsplit(url)
        self.sender = sender
        self._implicit = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (465 if self._implicit else 25)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None

    async def deliver(self, message: EmailMessage, *, to: str) -> None:
        must_encrypt = self._user is not None and self._host not in LOOPBACK
        async with asyncio.timeout(WHOLE_SECONDS):
            await aiosmtplib.send(
                message,
                recipients=[recipient(to)],
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=self._password,
                use_tls=self._implicit,
                start_tls=False if self._implicit else (True if must_encrypt else None),
                timeout=STEP_SECONDS,
            )


class MailboxMailer:
    """Writes each letter into a folder. One that comes twice is there once."""

    def __init__(self, folder: Path, *, sender: str) -> None:
        self.sender = sender
        self._folder = folder

    async def deliver(self, message: EmailMessage, *, to: str) -> None:
        await asyncio.to_thread(self._write, str(message["Message-ID"]), message.as_bytes())

    def _write(self, message_id: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(dir=self._folder, suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(unfinished).replace(self._folder / f"{message_id.strip('<>').partition('@')[0]}.eml")


def mailbox_folder(settings: Settings) -> Path:
    return settings.data_dir / "mailbox"


def make_mailer(settings: Settings) -> Mailer:
    if settings.smtp_url:
        return SmtpMailer(settings.smtp_url, sender=settings.mail_from)
    return MailboxMailer(mailbox_folder(settings), sender=settings.mail_from)
