"""The letters that identity writes. What goes to an address nobody has confirmed yet holds no words that a stranger
chose: registering must not be a way to send mail."""

from typing import Any
from uuid import UUID

from core.errors import Unavailable
from core.identity.links import LIFETIMES, Links, Purpose
from core.ids import new_id
from core.mail.actors import QUEUE, post_letter
from core.mail.letters import Letter, shown_name
from core.tasks.context import Ctx
from core.tasks.models import NO_ORGANIZATION, OutboxJob
from core.tasks.registry import actor

SUBJECTS = {
    Purpose.VERIFY_EMAIL: "Confirm your e-mail address",
    Purpose.RESET_PASSWORD: "Choose a new password",
    Purpose.RESTORE_ORGANIZATION: "{organization} is going to be deleted",
    Purpose.INVITATION: "{inviter} invites you to {organization}",
}
TEXTS = {
    Purpose.VERIFY_EMAIL: """Somebody, probably you, opened an account at The Plugs with this address.
Confirm that it is yours within {lifetime}:

{link}

If that was not you, ignore this letter: without it, nothing happens with your address.
""",
    Purpose.RESET_PASSWORD: """Somebody, probably you, asked for a new password for your account at The Plugs.
Choose one within {lifetime}:

{link}

It ends all sessions; your second factor stays as it is. If that was not you, ignore this letter.
""",
    Purpose.RESTORE_ORGANIZATION: """{person} deleted the organization {organization}. Nobody can enter it any more.
For {lifetime} you can bring it back with all that is in it:

{link}
""",
    Purpose.INVITATION: """{inviter} invites you to join {organization} at The Plugs as {role}.
Accept within {lifetime}, signed in with this address or by opening an account:

{link}

If you don't know them, ignore this letter.
""",
}
NOTICES = {
    "account-exists": (
        "You already have an account",
        "Somebody, probably you, tried to open an account at The Plugs with this address, which has one.\n"
        "Sign in with it, or ask for a new password if you don't remember yours: {public_url}\n",
    ),
    "slug-taken": (
        "The short name is taken",
        "Somebody, probably you, tried to open an account at The Plugs with this address.\n"
        "The short name they chose for their organization belongs to another one. Try again with another: "
        "{public_url}\n",
    ),
    "sign-in-linked": (
        "A new way to sign in to your account",
        "From now on you can sign in to The Plugs with another service as well, which vouched for this address.\n"
        "If that was not you, choose a new password and write to whoever runs {public_url}\n",
    ),
}


@actor(name="core.send_link", queue=QUEUE)
async def send_link(ctx: Ctx, *, to: str, purpose: Purpose, token_id: UUID, names: dict[str, str]) -> None:
    """`names` are what the letter calls people and organizations."""
    links = _links(ctx)
    shown = {key: shown_name(value) for key, value in names.items()}
    told = {"lifetime": _in_words(purpose), "link": links.url(purpose, token_id), **shown}
    subject, text = SUBJECTS[purpose].format_map(told), TEXTS[purpose].format_map(told)
    await post_letter(ctx, Letter(to=to, subject=subject, text=text))


@actor(name="core.send_notice", queue=QUEUE)
async def send_notice(ctx: Ctx, *, to: str, notice: str) -> None:
    subject, text = NOTICES[notice]
    await post_letter(ctx, Letter(to=to, subject=subject, text=text.format(public_url=_links(ctx).public_url)))


@actor(name="core.send_nothing", queue=QUEUE)
async def send_nothing(ctx: Ctx) -> None:
    """Stands in the outbox where nobody is written to, so that asking takes the same time for any address."""


def link_job(*, to: str, purpose: Purpose, token_id: UUID, **names: str) -> OutboxJob:
    """A letter about an account. It belongs to no organization: the person may be in several, or in none."""
    return _job(send_link.name, {"to": to, "purpose": purpose.value, "token_id": str(token_id), "names": names})


def notice_job(*, to: str, notice: str) -> OutboxJob:
    return _job(send_notice.name, {"to": to, "notice": notice})


def nothing_job() -> OutboxJob:
    return _job(send_nothing.name, {})


def _job(name: str, arguments: dict[str, Any]) -> OutboxJob:
    return OutboxJob(organization_id=NO_ORGANIZATION, id=new_id(), actor=name, queue=QUEUE, arguments=arguments)


def _links(ctx: Ctx) -> Links:
    if (links := ctx.use(Links)) is None:
        raise Unavailable("Links are made by a background job that is given the secret")
    return links


def _in_words(purpose: Purpose) -> str:
    lifetime = LIFETIMES[purpose]
    if lifetime.days:
        return f"{lifetime.days} days"
    hours = lifetime.seconds // 3600
    return "one hour" if hours == 1 else f"{hours} hours"


ACTORS = (send_link, send_notice, send_nothing)
