"""A letter, and the message that it becomes.

Nothing that a person typed can add a header or a recipient: line breaks and control characters leave every header, and
an address is quoted as a whole, whatever its local part holds.
"""

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from uuid import UUID

from msgspec import Struct

MAX_NAME = 80
"""Characters of a name that somebody chose; a letter is not the place for their advertisements."""


class Letter(Struct, frozen=True, kw_only=True):
    to: str
    """One address, of the form of `core.text.Email`."""
    subject: str
    text: str


def one_line(text: str) -> str:
    """Text without line breaks and control characters."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def shown_name(name: str) -> str:
    """A name that somebody chose, fit for a letter to somebody else."""
    return one_line(name)[:MAX_NAME]


def recipient(address: str) -> str:
    """The address as SMTP wants it: `a,b@example.com` becomes `"a,b"@example.com`, and stays one recipient."""
    local, _, domain = address.rpartition("@")
    return Address(username=local, domain=domain).addr_spec


def compose(letter: Letter, *, sender: str, letter_id: UUID, at: datetime) -> EmailMessage:
    """The Message-ID comes from `letter_id`, so a letter that is sent twice is recognised as the same."""
    name, address = parseaddr(sender)
    to = recipient(letter.to)
    message = EmailMessage(policy=SMTP if to.isascii() else SMTPUTF8)
    local, _, domain = address.rpartition("@")
    message["From"] = Address(name, username=local, domain=domain)
    to_local, _, to_domain = letter.to.rpartition("@")
    message["To"] = Address(username=to_local, domain=to_domain)
    message["Subject"] = one_line(letter.subject)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{letter_id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    return message
