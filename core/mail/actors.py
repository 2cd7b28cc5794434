"""Sending letters in the background, in a queue of its own: a slow server holds up no other work."""

from core import clock
from core.errors import Unavailable
from core.mail.delivery import Mailer
from core.mail.letters import Letter, compose
from core.tasks.context import Ctx
from core.tasks.registry import actor

QUEUE = "mail"


async def post_letter(ctx: Ctx, letter: Letter) -> None:
    """For actors. The job's id becomes the Message-ID, so what a retry sends again is recognised as the same."""
    mailer = ctx.use(Mailer)
    if mailer is None or ctx.job_id is None:
        raise Unavailable("Letters are sent by a background job that has a mailer")
    message = compose(letter, sender=mailer.sender, letter_id=ctx.job_id, at=clock.now())
    await mailer.deliver(message, to=letter.to)


@actor(name="core.send_mail", queue=QUEUE)
async def send_mail(ctx: Ctx, *, to: str, subject: str, text: str) -> None:
    """`ctx.enqueue(send_mail, to=…, subject=…, text=…)`. The text is kept in the outbox for days: no secrets."""
    await post_letter(ctx, Letter(to=to, subject=subject, text=text))
