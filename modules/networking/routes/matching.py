"""Matching: one's own profile, whom to meet, and what was good of it."""

from typing import Annotated
from uuid import UUID

from core.sdk import Ctx, FromPath, IfMatch, JSONBody, QueryParameter, Tagged, get, put, requires, tagged
from modules.networking.matching_schemas import FeedbackIn, MatchingProfileIn, MatchingProfileOut, Recommendations
from modules.networking.permissions import CONNECT, READ, WRITE
from modules.networking.services import matching

Best = Annotated[int, QueryParameter(ge=1, le=50, description="How many at most")]


@get(
    "/matching/profile",
    operation_id="get_matching_profile",
    summary="What one is matched by oneself",
    guards=[requires(CONNECT)],
)
async def get_matching_profile(ctx: Ctx) -> Tagged[MatchingProfileOut]:
    profile = await matching.own_profile(ctx)
    return tagged(profile, version=profile.version)


@put(
    "/matching/profile",
    operation_id="change_matching_profile",
    summary="Say what one may be matched by, and open or close the profile",
    guards=[requires(CONNECT)],
)
async def change_matching_profile(
    ctx: Ctx, data: JSONBody[MatchingProfileIn], if_match: IfMatch = None
) -> Tagged[MatchingProfileOut]:
    profile = await matching.change_profile(ctx, data, if_match=if_match)
    return tagged(profile, version=profile.version)


@get(
    "/recommendations",
    operation_id="recommend_members",
    summary="Members to connect with, and why",
    guards=[requires(CONNECT)],
)
async def recommend_members(ctx: Ctx, limit: Best = 20) -> Recommendations:
    return await matching.recommended_members(ctx, limit=limit)


@put(
    "/recommendations/{user_id:uuid}/feedback",
    operation_id="judge_member_recommendation",
    summary="Say that it was useful, or never to be shown again",
    status_code=204,
    guards=[requires(CONNECT)],
)
async def judge_member_recommendation(ctx: Ctx, user_id: FromPath[UUID], data: JSONBody[FeedbackIn]) -> None:
    await matching.judge_member(ctx, user_id, data.verdict)


@get(
    "/contacts/{contact_id:uuid}/recommendations",
    operation_id="recommend_contacts",
    summary="Contacts whom this one should meet, and why",
    guards=[requires(READ)],
)
async def recommend_contacts(ctx: Ctx, contact_id: FromPath[UUID], limit: Best = 20) -> Recommendations:
    return await matching.recommended_contacts(ctx, contact_id, limit=limit)


@put(
    "/contacts/{contact_id:uuid}/recommendations/{other_id:uuid}/feedback",
    operation_id="judge_contact_recommendation",
    summary="Say that it was useful, or never to be shown again",
    status_code=204,
    guards=[requires(WRITE)],
)
async def judge_contact_recommendation(
    ctx: Ctx, contact_id: FromPath[UUID], other_id: FromPath[UUID], data: JSONBody[FeedbackIn]
) -> None:
    await matching.judge_contact(ctx, contact_id, other_id, data.verdict)


MATCHING_ROUTES = (
    get_matching_profile,
    change_matching_profile,
    recommend_members,
    judge_member_recommendation,
    recommend_contacts,
    judge_contact_recommendation,
)
