"""A real SMTP server that keeps what it is sent, and a worker's hands to have letters sent to it."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import UUID

from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import func, select

from core.app import Application
from core.identity.links import Links
from core.mail.delivery import Mailer, SmtpMailer
from core.tasks.jobs import JobRunner
from core.tasks.models import NO_ORGANIZATION, OutboxJob
from core.testing.tenants import Tenant

SENDER = "The Plugs <plugs@plugs.example>"
TOKEN = re.compile(r"#token=(\S+)")


class Received:
    """One letter as it came in."""

    def __init__(self, envelope: Envelope) -> None:
        self.recipients = list(envelope.rcpt_tos)
        message = message_from_bytes(envelope.original_content or b"", policy=default)
        assert isinstance(message, EmailMessage)
        self.message = message

    @property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        assert body is not None
        return body.get_content()

    @property
    def token(self) -> str:
        found = TOKEN.search(self.text)
        assert found, self.text
        return found[1]


class Letterbox:
    def __init__(self, application: Application) -> None:
        self.application = application
        self.received: list[Received] = []
        self.refuse_next = 0
        """So many letters are turned away with a temporary error."""
        self.port = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        self.received.append(Received(envelope))
        if self.refuse_next:
            self.refuse_next -= 1
            return "451 try again later"
        return "250 OK"

    @property
    def providers(self) -> dict[type, Any]:
        return {
            Mailer: SmtpMailer(f"smtp://127.0.0.1:{self.port}", sender=SENDER),
            Links: self.application.runtime.links,
        }

    async def deliver(self, tenant: Tenant | None = None) -> None:
        """Run what waits to be done for accounts, or for an organization, once."""
        organization_id = NO_ORGANIZATION if tenant is None else tenant.organization_id
        runtime = self.application.runtime
        database = self.application.litestar.state.services.database
        runner = JobRunner(
            database=database,
            registry=runtime.registry,
            cursors=runtime.cursors,
            modules=self.application.litestar.state.services.modules,
            lease_seconds=runtime.settings.job_lease,
            providers=self.providers,
        )
        async with database.system() as system:
            due = await system.scalars(
                select(OutboxJob.id).where(
                    OutboxJob.organization_id == organization_id,
                    OutboxJob.done_at.is_(None),
                    OutboxJob.not_before <= func.now(),
                )
            )
        await asyncio.gather(*(runner.run(organization_id, UUID(str(job))) for job in due.all()))

    def to(self, address: str) -> list[Received]:
        return [letter for letter in self.received if address.lower() in letter.recipients]

    def last_to(self, address: str) -> Received:
        found = self.to(address)
        assert found, f"nothing came to {address}"
        return found[-1]


@asynccontextmanager
async def open_letterbox(application: Application, *, host: str = "127.0.0.1") -> AsyncGenerator[Letterbox]:
    letterbox = Letterbox(application)
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(letterbox, enable_SMTPUTF8=True), host, 0)
    letterbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield letterbox
