"""Letters: sent over real SMTP, once as far as anybody can tell, and nothing that people type adds a header."""

from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from aiosmtplib import SMTPException
from letterbox import SENDER, Letterbox, open_letterbox

from core import clock
from core.app import Application, create_app
from core.mail.actors import send_mail
from core.mail.delivery import MailboxMailer, SmtpMailer, make_mailer
from core.mail.letters import Letter, compose
from core.runtime import make_runtime
from core.settings import Environment, Settings
from core.testing.tenants import Tenant

HOSTILE = "Hello\r\nBcc: victim@example.com\n\n<script>"
MAILBOX = "/mailbox"


def letter(**others: str) -> Letter:
    return Letter(**{"to": "ada@example.com", "subject": "Hello", "text": "Good morning\n", **others})


async def post(tenant: Tenant, letterbox: Letterbox, **others: str) -> None:
    ctx = tenant.ctx()
    ctx.enqueue(send_mail, **{"to": "ada@example.com", "subject": "Hello", "text": "Good morning\n", **others})
    await ctx.commit()
    await ctx.close()
    await letterbox.deliver(tenant)


async def test_a_letter_arrives_as_it_was_written(acme: Tenant, letterbox: Letterbox) -> None:
    await post(acme, letterbox, subject="Grüße", text="Ça va?\n" + "x" * 2000 + "\n")

    received = letterbox.last_to("ada@example.com")
    assert str(received.message["Subject"]) == "Grüße"
    assert str(received.message["From"]) == SENDER
    assert received.text.replace("\r\n", "\n") == "Ça va?\n" + "x" * 2000 + "\n"
    assert received.message["Auto-Submitted"] == "auto-generated"


async def test_a_letter_that_was_not_taken_is_sent_again_under_the_same_id(acme: Tenant, letterbox: Letterbox) -> None:
    letterbox.refuse_next = 1

    await post(acme, letterbox)
    await acme.make_jobs_due()
    await letterbox.deliver(acme)
    await letterbox.deliver(acme)

    ids = [str(received.message["Message-ID"]) for received in letterbox.received]
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.mark.parametrize("field", ["subject", "text"])
async def test_no_line_break_adds_a_header_or_a_recipient(acme: Tenant, letterbox: Letterbox, field: str) -> None:
    await post(acme, letterbox, **{field: HOSTILE})

    received = letterbox.last_to("ada@example.com")
    assert received.recipients == ["ada@example.com"]
    assert received.message["Bcc"] is None
    assert {name.lower() for name in received.message} == {
        *("from", "to", "subject", "date", "message-id", "auto-submitted"),
        *("content-type", "content-transfer-encoding", "mime-version"),
    }


@pytest.mark.parametrize(
    "address", ["a,b@example.com", "a;b@example.com", "<a>@example.com", 'a"b@example.com', "a:b;@example.com"]
)
def test_a_strange_address_stays_one_recipient(address: str) -> None:
    message = compose(letter(to=address), sender=SENDER, letter_id=uuid4(), at=clock.now())

    (only,) = message["To"].addresses
    assert f"{only.username}@{only.domain}" == address
    assert len(str(message.as_bytes(), "ascii").split("\r\nTo: ")) == 2


async def test_a_server_that_is_away_is_an_error() -> None:
    mailer = SmtpMailer("smtp://127.0.0.1:1", sender=SENDER)
    message = compose(letter(), sender=SENDER, letter_id=uuid4(), at=clock.now())

    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await mailer.deliver(message, to="ada@example.com")


async def test_a_password_is_not_sent_in_the_clear_to_another_machine(application: Application) -> None:
    async with open_letterbox(application, host="127.0.0.2") as elsewhere:
        mailer = SmtpMailer(f"smtp://user:secret@127.0.0.2:{elsewhere.port}", sender=SENDER)
        message = compose(letter(), sender=SENDER, letter_id=uuid4(), at=clock.now())

        with pytest.raises(SMTPException, match="STARTTLS"):
            await mailer.deliver(message, to="ada@example.com")

        assert elsewhere.received == []


def test_letters_go_into_the_folder_where_no_server_is_set(tmp_path: Path) -> None:
    assert isinstance(make_mailer(Settings(data_dir=tmp_path)), MailboxMailer)
    assert isinstance(make_mailer(Settings(smtp_url="smtp://mail")), SmtpMailer)


class Mailbox:
    def __init__(self, settings: Settings) -> None:
        self.application = create_app(make_runtime(settings))
        self.folder = settings.data_dir / "mailbox"
        self.mailer = make_mailer(settings)

    async def put(self, **others: str) -> str:
        letter_id = uuid4()
        written = letter(**others)
        await self.mailer.deliver(compose(written, sender=SENDER, letter_id=letter_id, at=clock.now()), to=written.to)
        return str(letter_id)

    async def get(self, path: str, *, client: str = "127.0.0.1", host: str = "localhost") -> httpx.Response:
        transport = httpx.ASGITransport(self.application, client=(client, 1))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as asking:
            return await asking.get(path)


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(Settings(data_dir=tmp_path))


async def test_the_mailbox_shows_the_letters(mailbox: Mailbox) -> None:
    name = await mailbox.put(subject="Hello <b>", text="See <script>\n")

    listed, shown = await mailbox.get(MAILBOX), await mailbox.get(f"{MAILBOX}/{name}")

    assert f"{MAILBOX}/{name}" in listed.text
    assert "See &lt;script&gt;" in shown.text
    assert "<b>" not in listed.text + shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]


async def test_a_letter_that_comes_twice_is_there_once(mailbox: Mailbox) -> None:
    message = compose(letter(), sender=SENDER, letter_id=uuid4(), at=clock.now())

    for _ in range(2):
        await mailbox.mailer.deliver(message, to="ada@example.com")

    assert len(list(mailbox.folder.iterdir())) == 1
    assert mailbox.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("client", "host"), [("192.0.2.1", "localhost"), ("127.0.0.1", "rebound.example")])
async def test_the_mailbox_is_for_this_machine_alone(mailbox: Mailbox, client: str, host: str) -> None:
    name = await mailbox.put()

    answers = [await mailbox.get(path, client=client, host=host) for path in (MAILBOX, f"{MAILBOX}/{name}")]

    assert [answer.status_code for answer in answers] == [404, 404]


@pytest.mark.parametrize(
    "settings",
    [Settings(smtp_url="smtp://mail"), Settings(environment=Environment.PRODUCTION)],
    ids=["a server is set", "production"],
)
async def test_there_is_no_mailbox_elsewhere(settings: Settings) -> None:
    answer = await Mailbox(settings).get(MAILBOX)

    assert answer.status_code == 404
