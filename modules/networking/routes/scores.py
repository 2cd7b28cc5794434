"""Lead scores: the rules, what they would change, a contact's reasons, and recomputing all."""

from uuid import UUID

from msgspec import convert

from core.sdk import (
    DEFAULT_LIMIT,
    Ctx,
    FromPath,
    IfMatch,
    JSONBody,
    Limit,
    ListQuery,
    Page,
    PageCursor,
    Response,
    Tagged,
    get,
    json_bytes,
    post,
    put,
    requires,
    tagged,
)
from modules.networking.actors import start_run
from modules.networking.permissions import READ, SCORE
from modules.networking.score_models import ScoreRules, ScoreRun
from modules.networking.score_schemas import (
    ScoreOut,
    ScorePreviews,
    ScoreRulesIn,
    ScoreRulesOut,
    ScoreRulesRow,
    ScoreRunOut,
)
from modules.networking.services import scores

RULES = ListQuery(
    ScoreRules,
    columns=(ScoreRules.id, ScoreRules.number, ScoreRules.rules, ScoreRules.created_by, ScoreRules.created_at),
    sorts={"number": ScoreRules.number},
    default_sort="-number",
)


@get("/score-rules", operation_id="get_score_rules", summary="The rules that count now", guards=[requires(READ)])
async def get_score_rules(ctx: Ctx) -> Tagged[ScoreRulesOut]:
    rules = await scores.current_rules(ctx)
    return tagged(rules, version=rules.number)


@put(
    "/score-rules",
    operation_id="change_score_rules",
    summary="Make the next version of the rules, and recompute by it",
    guards=[requires(SCORE)],
)
async def change_score_rules(ctx: Ctx, data: JSONBody[ScoreRulesIn], if_match: IfMatch = None) -> Tagged[ScoreRulesOut]:
    rules = await scores.change_rules(ctx, data, if_match=if_match)
    await start_run(ctx)
    return tagged(rules, version=rules.number)


@get(
    "/score-rules/versions",
    operation_id="list_score_rules",
    summary="The rules as they were over time",
    guards=[requires(READ)],
)
async def list_score_rules(
    ctx: Ctx, limit: Limit = DEFAULT_LIMIT, cursor: PageCursor = None
) -> Response[Page[ScoreRulesRow]]:
    return json_bytes(await ctx.page(RULES, limit=limit, cursor=cursor))


@post(
    "/score-rules/versions/{rules_id:uuid}/restore",
    operation_id="restore_score_rules",
    summary="Make earlier rules the next version",
    status_code=200,
    guards=[requires(SCORE)],
)
async def restore_score_rules(ctx: Ctx, rules_id: FromPath[UUID]) -> Tagged[ScoreRulesOut]:
    earlier = scores.rules_out(await scores.find_rules(ctx, rules_id))
    rules = await scores.change_rules(ctx, earlier.rules, if_match=None)
    await start_run(ctx)
    return tagged(rules, version=rules.number)


@post(
    "/score-rules/preview",
    operation_id="preview_score_rules",
    summary="What rules would make of the contacts that changed last",
    status_code=200,
    guards=[requires(SCORE)],
)
async def preview_score_rules(ctx: Ctx, data: JSONBody[ScoreRulesIn]) -> ScorePreviews:
    return ScorePreviews(items=await scores.preview(ctx, data))


@get(
    "/contacts/{contact_id:uuid}/score",
    operation_id="get_contact_score",
    summary="A contact's score, and why it is that",
    guards=[requires(READ)],
)
async def get_contact_score(ctx: Ctx, contact_id: FromPath[UUID]) -> ScoreOut:
    return await scores.score_shown(ctx, contact_id)


@post(
    "/score-runs",
    operation_id="recompute_scores",
    summary="Recompute all scores, in the background",
    status_code=202,
    guards=[requires(SCORE)],
)
async def recompute_scores(ctx: Ctx) -> Response[ScoreRunOut]:
    run = await start_run(ctx)
    location = {"Location": f"/api/v1/networking/score-runs/{run.id}"}
    return Response(_run_out(run), status_code=202, headers=location)


@get("/score-runs/{run_id:uuid}", operation_id="get_score_run", summary="How far it is", guards=[requires(READ)])
async def get_score_run(ctx: Ctx, run_id: FromPath[UUID]) -> ScoreRunOut:
    return _run_out(await scores.find_run(ctx, run_id))


def _run_out(run: ScoreRun) -> ScoreRunOut:
    return convert(run, ScoreRunOut, from_attributes=True)


SCORE_ROUTES = (
    get_score_rules,
    change_score_rules,
    list_score_rules,
    restore_score_rules,
    preview_score_rules,
    get_contact_score,
    recompute_scores,
    get_score_run,
)
