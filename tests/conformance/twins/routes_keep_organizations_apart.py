"""It remembers what it has shown, and for whom it doesn't."""

from tests.conformance.twinning import Change, before_manifest, sdk

ROUTE = """
SHOWN: dict[UUID, str] = {}


@get("/answers/{answer_id:uuid}/email", operation_id="get_NAME_email", guards=[requires(READ)])
async def show_email(ctx: Ctx, answer_id: FromPath[UUID]) -> dict[str, str]:
    if answer_id not in SHOWN:
        answer = await ctx.db.get(Answer, (ctx.organization_id, answer_id))
        if answer is None:
            raise NotFound
        SHOWN[answer_id] = answer.email
    return {"email": SHOWN[answer_id]}
"""
CHANGES = [
    sdk("FromPath", "NotFound"),
    before_manifest(ROUTE),
    Change("routes=[add_answer, list_answers]", "routes=[add_answer, list_answers, show_email]"),
]
